/**
 * Makes a ModelRunner of a runner that computes logits in host memory: keeps the samplers, chooses tokens, tells
 * log-probabilities, counts what the routers chose, and lets a second step wait while one runs.
 */

import { EngineError, ForwardError, InvalidLogitsError } from '../errors.ts';
import { logprobOf, logprobsOf } from '../sampling/logprobs.ts';
import type { SamplingParameters } from '../sampling/parameters.ts';
import { Sampler } from '../sampling/sampler.ts';
import { allowsToken } from '../sampling/token-mask.ts';
import { InvalidStepError, UnknownSamplerError } from './errors.ts';
import type { LogitsOutput, LogitsRunner, LogitsStep, LogitsWanted, StartedPart } from './logits-runner.ts';
import { RoutingRecord } from './routing-record.ts';
import type { RoutingShape } from './routing-record.ts';
import { MOST_STEPS_UNDER_WAY } from './runner.ts';
import { StepsUnderWay } from './steps-under-way.ts';
import { type TokenChoice, tokenChoice } from './token-choice.ts';
import type {
  ExpertLoad,
  LayerRouting,
  ModelRunner,
  RunnerTimings,
  SequenceOutput,
  SequenceStep,
  SubmittedStep,
} from './runner.ts';

/** What `sampledOnHost` has to know beside the runner. */
export interface SampledOnHostOptions {
  /** What its routers choose from. */
  readonly routing: RoutingShape;
  /**
   * How many ids have a token, from 0 up: a model's vocabulary may be padded beyond them. No other id is ever chosen, and
   * log-probabilities are those among the ids that can be. Defaults to all of the runner's vocabulary.
   */
  readonly tokens?: number;
  /** See `ModelRunner.overlapsSteps`. Defaults to whether the runner starts steps. */
  readonly overlapsSteps?: boolean;
}

/** Adds to a runner of logits what the border asks for. The runner is its own from then on. */
export function sampledOnHost(runner: LogitsRunner, options: SampledOnHostOptions): ModelRunner {
  return new SampledOnHost(runner, options);
}

/** A sampler and the token that it chose last, -1 before the first. */
interface OpenSampler {
  readonly sampler: Sampler;
  last: number;
  /** What the step under way that was submitted last has to choose for it; null where none has. */
  pending: PendingChoice | null;
}

/** A token that is not known yet: the runner's choice for a sequence, or one that is made here. */
interface PendingChoice {
  readonly sequence: number;
  readonly byRunner: boolean;
}

/** A step under way. */
interface StepTurn {
  /** Resolves when the runner has the step, or never will. */
  readonly started: Promise<unknown>;
  /** Resolves when its tokens are known, or never will be. */
  readonly done: Promise<unknown>;
  readonly traces: boolean;
}

/** A step that the runner has. */
interface RunningStep {
  readonly outputs: Promise<readonly LogitsOutput[]>;
  /** What it is to choose, by sampler. */
  readonly pending: readonly { readonly open: OpenSampler; readonly choice: PendingChoice }[];
  /** Throws InvalidStepError where a step before it has failed meanwhile. */
  readonly assertNoFailure: () => void;
}

const NO_STEP: StepTurn = { started: Promise.resolve(), done: Promise.resolve(), traces: false };

const NO_LOGITS = new Float32Array(0);

class SampledOnHost implements ModelRunner {
  readonly overlapsSteps: boolean;
  readonly #runner: LogitsRunner;
  /** Logits that count, of each row. */
  readonly #tokens: number;
  readonly #routing: RoutingRecord;
  readonly #samplers = new Map<number, OpenSampler>();
  #nextSampler = 0;
  readonly #steps = new StepsUnderWay(MOST_STEPS_UNDER_WAY);
  #last = NO_STEP;
  /** Steps that failed: one that was submitted before such a failure does not begin with what it counted on. */
  #failures = 0;
  #sampling = 0;

  constructor(runner: LogitsRunner, { routing, tokens, overlapsSteps }: SampledOnHostOptions) {
    this.overlapsSteps = overlapsSteps ?? runner.start !== undefined;
    this.#runner = runner;
    this.#tokens = Math.min(tokens ?? runner.vocabularySize, runner.vocabularySize);
    this.#routing = new RoutingRecord(routing);
    runner.onRouting = this.#routing.record;
  }

  get name(): string {
    return this.#runner.name;
  }

  get vocabularySize(): number {
    return this.#runner.vocabularySize;
  }

  get contextLength(): number {
    return this.#runner.contextLength;
  }

  get memory(): LogitsRunner['memory'] {
    return this.#runner.memory;
  }

  get router(): LogitsRunner['router'] {
    return this.#runner.router;
  }

  get timings(): RunnerTimings {
    const { steps, compute, experts, router, overhead } = this.#runner.timings;
    return { steps, compute, experts, router, sampling: this.#sampling, overhead };
  }

  get expertLoad(): ExpertLoad {
    return this.#routing.load;
  }

  piecesTogether(tokens: number): number {
    return this.#runner.piecesTogether?.(tokens) ?? 1;
  }

  partOfPiece(tokens: number): number {
    return this.#runner.partOfPiece?.(tokens) ?? Number.POSITIVE_INFINITY;
  }

  get onRouting(): ((routing: LayerRouting) => void) | null {
    return this.#routing.listener;
  }

  set onRouting(listener: ((routing: LayerRouting) => void) | null) {
    this.#routing.listener = listener;
  }

  createSequence(): number {
    return this.#runner.createSequence();
  }

  forkSequence(sequence: number, length: number): number | null {
    this.#steps.assertIdle(sequence, 'forkSequence');
    return this.#runner.forkSequence(sequence, length);
  }

  truncate(sequence: number, length: number): boolean {
    this.#steps.assertIdle(sequence, 'truncate');
    return this.#runner.truncate(sequence, length);
  }

  releaseSequence(sequence: number): void {
    this.#steps.assertIdle(sequence, 'releaseSequence');
    this.#runner.releaseSequence(sequence);
  }

  length(sequence: number): number {
    return this.#runner.length(sequence);
  }

  openSampler(parameters: SamplingParameters, prompt: Int32Array, answer: readonly number[] = []): number {
    this.#samplers.set(this.#nextSampler, {
      sampler: new Sampler(parameters, prompt, answer),
      last: answer.at(-1) ?? -1,
      pending: null,
    });
    return this.#nextSampler++;
  }

  closeSampler(sampler: number): void {
    this.#samplers.delete(sampler);
  }

  submit(batch: readonly SequenceStep[]): SubmittedStep {
    const underWay = this.#steps.begin(
      batch.map(({ sequence }) => sequence),
      'submit',
    );
    const traces = batch.some(({ traceRouting }) => traceRouting === true);
    const started = this.#startAfter(this.#last, batch, { traces, failures: this.#failures });
    const outputs = this.#finish(this.#last, batch, started).finally(underWay.end);
    this.#last = { started: started.catch(() => undefined), done: outputs.catch(() => undefined), traces };
    return { outputs };
  }

  async dispose(): Promise<void> {
    await this.#last.done;
    this.#samplers.clear();
    await this.#runner.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  /** Hands a step to the runner: while the one before it runs, where nothing of it has to be known. */
  async #startAfter(
    before: StepTurn,
    batch: readonly SequenceStep[],
    { traces, failures }: { readonly traces: boolean; readonly failures: number },
  ): Promise<RunningStep> {
    await before.started;
    if (traces || before.traces || !this.#canStart(batch)) await before.done;
    const assertNoFailure = (): void => {
      if (failures === this.#failures) return;
      throw new InvalidStepError(
        'a failure of the step before it',
        'submit it again, with what the sequences hold now',
      );
    };
    assertNoFailure();
    try {
      const parts = batch.map((step): StartedPart => {
        const { sequence, piece } = step;
        const choice = step.want === 'token' ? this.#choiceOf(step) : null;
        const tokens = this.#tokensOf(step);
        const ofPiece = piece === undefined ? {} : { piece };
        return { sequence, tokens, ...ofPiece, ...(choice ?? { logits: logitsWanted(step) }) };
      });
      this.#routing.trace(traces ? batch.filter(isTraced).map(({ sequence }) => sequence) : []);
      const { outputs } =
        this.#runner.start === undefined
          ? { outputs: Promise.resolve(await this.#runner.forward(parts.filter(isKnown))) }
          : await this.#runner.start(parts);
      const pending = batch.flatMap((step, index) => {
        if (step.want !== 'token') return [];
        const { logits } = parts[index] ?? {};
        const choice = { sequence: step.sequence, byRunner: logits === 'largest' || logits === 'drawn' };
        const open = this.#samplerOf(step);
        open.pending = choice;
        return [{ open, choice }];
      });
      return { outputs, pending, assertNoFailure };
    } catch (error) {
      this.#failures++;
      throw error;
    }
  }

  /** Takes what the runner computed, after the step before it. */
  async #finish(
    before: StepTurn,
    batch: readonly SequenceStep[],
    running: Promise<RunningStep>,
  ): Promise<readonly SequenceOutput[]> {
    const { outputs, pending, assertNoFailure } = await running;
    let computed: readonly LogitsOutput[];
    try {
      computed = await outputs;
    } catch (error) {
      this.#failures++;
      throw error;
    } finally {
      await before.done;
      for (const { open, choice } of pending) if (open.pending === choice) open.pending = null;
    }
    assertNoFailure();
    const started = performance.now();
    const found = batch.map((step, index) => this.#outputOf(step, computed[index]));
    this.#sampling += performance.now() - started;
    return found;
  }

  /** Whether the runner can begin before the step under way has its tokens: what it needs of them, it chooses itself. */
  #canStart(batch: readonly SequenceStep[]): boolean {
    if (this.#runner.start === undefined) return false;
    return batch.every((step) => {
      if (step.sampler === undefined) return true;
      const { sampler, pending } = this.#samplerOf(step);
      if (pending === null) return true;
      // What counts tokens finds the one that nobody has seen in the row itself.
      return pending.byRunner && (step.tokens === 'sampled' || !sampler.countsTokens);
    });
  }

  #tokensOf(step: SequenceStep): StartedPart['tokens'] {
    if (step.tokens !== 'sampled') return step.tokens;
    const { last, pending } = this.#samplerOf(step);
    if (pending !== null) return { chosenFor: pending.sequence };
    if (last < 0) throw new InvalidStepError("'sampled' of a sampler that has chosen no token", 'give the tokens');
    return Int32Array.of(last);
  }

  #samplerOf({ sampler }: SequenceStep): OpenSampler {
    const open = sampler === undefined ? undefined : this.#samplers.get(sampler);
    if (open === undefined) throw new UnknownSamplerError(sampler);
    return open;
  }

  #choiceOf(step: SequenceStep): TokenChoice | null {
    const { sampler, pending } = this.#samplerOf(step);
    return tokenChoice(this.#runner, sampler, step, pending === null ? 0 : 1);
  }

  #outputOf(step: SequenceStep, computed: LogitsOutput | undefined): SequenceOutput {
    const logits = computed?.logits ?? NO_LOGITS;
    // What most steps are: chosen by the runner, and nothing else asked for.
    const isPlain = step.traceRouting !== true && step.mask === undefined;
    if (isPlain && computed?.token !== undefined && computed.token >= 0) {
      return { token: this.#choose(step, logits, computed.token).token, logits: NO_LOGITS };
    }
    const routing = step.traceRouting === true ? { routing: this.#routing.rowsOf(step.sequence) } : {};
    const rows =
      step.want === 'last' || step.want === 'all' ? wantedRows(logits, step.want, this.vocabularySize) : NO_LOGITS;
    try {
      return {
        token: -1,
        logits: rows,
        ...routing,
        ...(step.targets === undefined ? {} : { targetLogprobs: this.#targetLogprobs(logits, step.targets) }),
        ...(step.want === 'token' ? this.#choose(step, logits, computed?.token) : {}),
      };
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      return { token: -1, logits: rows, ...routing, failure: error };
    }
  }

  /**
   * The next token, with its log-probabilities where they are wanted.
   *
   * @param rows the last row is the step's last position's.
   * @param chosen what the runner has chosen; undefined where it has not.
   */
  #choose(
    step: SequenceStep,
    rows: Float32Array,
    chosen: number | undefined,
  ): Pick<SequenceOutput, 'token' | 'logprobs'> {
    const open = this.#samplerOf(step);
    if (chosen !== undefined) {
      open.sampler.took(chosen);
      if (chosen < 0) throw new InvalidLogitsError();
      assertAllowed(step, chosen);
      open.last = chosen;
      return { token: chosen };
    }
    const logits = rows.subarray(-this.vocabularySize).subarray(0, this.#tokens);
    const token = open.sampler.sample(logits, step.mask ?? null);
    if (Number.isNaN(logits[token] ?? Number.NaN)) throw new InvalidLogitsError();
    assertAllowed(step, token);
    open.last = token;
    return step.logprobs === undefined ? { token } : { token, logprobs: logprobsOf(logits, token, step.logprobs) };
  }

  #targetLogprobs(logits: Float32Array, targets: Int32Array): Float64Array {
    return Float64Array.from(targets, (target, row) => {
      const start = row * this.vocabularySize;
      const logprob = logprobOf(logits.subarray(start, start + this.#tokens), target);
      if (Number.isNaN(logprob)) throw new InvalidLogitsError();
      return logprob;
    });
  }
}

/** Where a mask lets no token through, what was chosen is none of its tokens. */
function assertAllowed({ mask }: SequenceStep, token: number): void {
  if (mask !== undefined && !allowsToken(mask, token)) throw new ForwardError('a mask that lets no token through');
}

function logitsWanted({ want, targets }: SequenceStep): LogitsWanted {
  if (targets !== undefined || want === 'all') return 'all';
  return want === 'none' ? 'none' : 'last';
}

/** The rows that were asked for: with targets, more were computed. */
function wantedRows(logits: Float32Array, want: 'last' | 'all', width: number): Float32Array {
  return want === 'all' || logits.length === width ? logits : logits.slice(-width);
}

function isTraced({ traceRouting }: SequenceStep): boolean {
  return traceRouting === true;
}

function isKnown(part: StartedPart): part is LogitsStep {
  return part.tokens instanceof Int32Array;
}
