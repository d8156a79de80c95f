import assert from 'node:assert/strict';
import type { SamplingParameters } from '../../sampling/parameters.ts';
import type { ModelRunner, SequenceOutput, SequenceStep } from '../runner.ts';

/** Makes the runner under test. */
export type RunnerFactory = () => Promise<ModelRunner>;

/** What an independent implementation computed for one prompt. */
export interface GoldenPrompt {
  readonly ids: readonly number[];
  /** The greedy continuation. */
  readonly greedy: readonly number[];
  /** The best tokens at the prompt's last position, best first. */
  readonly topIds: readonly number[];
  readonly topLogits: readonly number[];
  /** Negative log-likelihood of the prompt, summed over all tokens but the first. */
  readonly nll: number;
  /** One entry a layer: what the router chose for each of the prompt's tokens. */
  readonly routing: readonly {
    readonly experts: readonly (readonly number[])[];
    readonly weights: readonly (readonly number[])[];
  }[];
}

/** How far a runner may be from what it is compared with. */
export interface RunnerTolerances {
  /** Largest difference of a logit between kinds of step: a token computed in decode, in prefill, in pieces. */
  readonly betweenKinds: number;
  /** Largest difference of a logit from a golden one. */
  readonly logit: number;
  /** Largest relative difference of a golden prompt's likelihood. */
  readonly nll: number;
  /** Experts may change places where their weights differ by less; weights may differ by as much. */
  readonly routerWeight: number;
  /**
   * Whether an expert may be replaced by another one whose weight differs by less. What the exchange may have changed is not
   * compared then: the deeper layers of its token and of those behind it. Default false.
   */
  readonly nearTies?: boolean;
}

/** How a suite runs. */
export interface RunnerSuiteOptions {
  /** Prompts of the checkpoint that the runner runs. One at least has to be longer than twice the sliding window. */
  readonly golden: readonly GoldenPrompt[];
  readonly tolerances: RunnerTolerances;
  /** The model's sliding window, in tokens. */
  readonly window: number;
  /** The cases to run instead of all. */
  readonly cases?: readonly RunnerCase[];
  /** Whether the first failure ends the run. Defaults to false. */
  readonly stopAtFirst?: boolean;
  readonly onCase?: (done: {
    readonly section: string;
    readonly name: string;
    /** What went wrong; null where nothing did. */
    readonly problem: string | null;
    readonly index: number;
    readonly of: number;
  }) => void;
  /** Stops the suite between cases: it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** One case: throws where the runner is wrong. */
export interface RunnerCase {
  readonly section: string;
  readonly name: string;
  readonly run: (suite: SuiteRun) => Promise<void>;
}

/** Greedy, with nothing switched on. */
export const GREEDY: SamplingParameters = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  seed: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: [],
};

/** One case's use of a runner: whatever it opens is closed when it ends. */
export class SuiteRun {
  readonly runner: ModelRunner;
  readonly golden: readonly GoldenPrompt[];
  readonly tolerances: RunnerTolerances;
  readonly window: number;
  readonly #sequences = new Set<number>();
  readonly #samplers = new Set<number>();

  constructor(runner: ModelRunner, { golden, tolerances, window }: RunnerSuiteOptions) {
    this.runner = runner;
    this.golden = golden;
    this.tolerances = tolerances;
    this.window = window;
  }

  /** The ids of a golden prompt; counted round where there are fewer. */
  prompt(index: number): Int32Array {
    return Int32Array.from(this.golden[index % this.golden.length]?.ids ?? []);
  }

  /** The ids of the longest golden prompt. */
  get longest(): Int32Array {
    return Int32Array.from(
      this.golden.reduce((best, { ids }) => (ids.length > best.length ? ids : best), [] as readonly number[]),
    );
  }

  sequence(): number {
    const sequence = this.runner.createSequence();
    this.#sequences.add(sequence);
    return sequence;
  }

  fork(source: number, length: number): number | null {
    const copy = this.runner.forkSequence(source, length);
    if (copy !== null) this.#sequences.add(copy);
    return copy;
  }

  sampler(
    parameters: Partial<SamplingParameters> = {},
    prompt: Int32Array = new Int32Array(0),
    answer?: readonly number[],
  ): number {
    const sampler = this.runner.openSampler({ ...GREEDY, ...parameters }, prompt, answer);
    this.#samplers.add(sampler);
    return sampler;
  }

  drop(sequence: number): void {
    this.#sequences.delete(sequence);
    this.runner.releaseSequence(sequence);
  }

  /** One step, awaited. */
  async step(batch: readonly SequenceStep[]): Promise<readonly SequenceOutput[]> {
    const outputs = await this.runner.submit(batch).outputs;
    assert.equal(outputs.length, batch.length, 'a step has an output for each of its sequences');
    return outputs;
  }

  /** One step of one sequence. */
  async alone(step: SequenceStep): Promise<SequenceOutput> {
    const [output] = await this.step([step]);
    assert.ok(output !== undefined);
    return output;
  }

  /** Appends tokens and wants nothing. */
  async append(sequence: number, tokens: Int32Array): Promise<void> {
    await this.alone({ sequence, tokens, want: 'none' });
  }

  /** The logits of each of the tokens, computed in pieces of the given sizes, the last of which repeats. */
  async logitsInPieces(tokens: Int32Array, sizes: readonly number[]): Promise<Float32Array> {
    const sequence = this.sequence();
    const width = this.runner.vocabularySize;
    const rows = new Float32Array(tokens.length * width);
    for (let start = 0, piece = 0; start < tokens.length; piece++) {
      const end = Math.min(tokens.length, start + (sizes[piece] ?? sizes.at(-1) ?? tokens.length));
      const { logits } = await this.alone({ sequence, tokens: tokens.subarray(start, end), want: 'all' });
      assert.equal(logits.length, (end - start) * width, "'all' gives a row for each token");
      rows.set(logits, start * width);
      start = end;
    }
    assert.equal(this.runner.length(sequence), tokens.length, 'the length counts the tokens computed');
    this.drop(sequence);
    return rows;
  }

  /** The logits after a whole prompt, computed at once. */
  async logitsAfter(tokens: Int32Array): Promise<Float32Array> {
    const sequence = this.sequence();
    const { logits } = await this.alone({ sequence, tokens, want: 'last' });
    this.drop(sequence);
    return logits;
  }

  /** Closes what the case left open. */
  async release(): Promise<void> {
    for (const sampler of this.#samplers) this.runner.closeSampler(sampler);
    for (const sequence of this.#sequences) {
      try {
        this.runner.releaseSequence(sequence);
      } catch {
        // A case that failed may have left a sequence in any state; the next case makes its own.
      }
    }
    this.runner.onRouting = null;
  }
}

/** Fails where two rows of logits differ by more than `tolerance` anywhere. */
export function assertClose(found: Float32Array, expected: Float32Array, tolerance: number, what: string): void {
  assert.equal(found.length, expected.length, `${what}: as many logits`);
  let largest = 0;
  for (let index = 0; index < found.length; index++) {
    const difference = Math.abs((found[index] as number) - (expected[index] as number));
    if (!(difference <= largest)) largest = difference;
  }
  assert.ok(largest <= tolerance, `${what}: the logits differ by ${largest}, at most ${tolerance} is right`);
}

/** Fails where two rows of logits are not the same to the bit. */
export function assertSameBits(found: Float32Array, expected: Float32Array, what: string): void {
  const bits = ({ buffer, byteOffset, byteLength }: Float32Array): Buffer =>
    Buffer.from(buffer, byteOffset, byteLength);
  assert.ok(bits(found).equals(bits(expected)), `${what}: the logits are not the same to the bit`);
}
