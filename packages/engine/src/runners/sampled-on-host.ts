/**
 * Makes a ModelRunner of a runner that computes logits in host memory: keeps the samplers, chooses tokens, tells
 * log-probabilities, counts what the routers chose, and lets a second step wait while one runs.
 */

import { EngineError, ForwardError, InvalidLogitsError } from '../errors.ts';
import { logprobOf, logprobsOf } from '../sampling/logprobs.ts';
import type { SamplingParameters } from '../sampling/parameters.ts';
import { Sampler } from '../sampling/sampler.ts';
import type { TokenDraw } from '../sampling/token-draw.ts';
import { allowsToken } from '../sampling/token-mask.ts';
import { InvalidStepError, RunnerBusyError, UnknownSamplerError } from './errors.ts';
import type { LogitsOutput, LogitsRunner, LogitsStep, LogitsWanted } from './logits-runner.ts';
import { RoutingRecord } from './routing-record.ts';
import type { RoutingShape } from './routing-record.ts';
import { MOST_STEPS_UNDER_WAY } from './runner.ts';
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
  /** See `ModelRunner.overlapsSteps`. Defaults to false. */
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
}

const NO_LOGITS = new Float32Array(0);

class SampledOnHost implements ModelRunner {
  readonly overlapsSteps: boolean;
  readonly #runner: LogitsRunner;
  /** Logits that count, of each row. */
  readonly #tokens: number;
  readonly #routing: RoutingRecord;
  readonly #samplers = new Map<number, OpenSampler>();
  #nextSampler = 0;
  /** How many steps under way have each sequence. */
  readonly #busy = new Map<number, number>();
  #underWay = 0;
  #last: Promise<unknown> = Promise.resolve();
  /** Steps that failed: one that was submitted before such a failure does not begin with what it counted on. */
  #failures = 0;
  #sampling = 0;

  constructor(runner: LogitsRunner, { routing, tokens, overlapsSteps = false }: SampledOnHostOptions) {
    this.overlapsSteps = overlapsSteps;
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
    this.#assertIdle(sequence, 'forkSequence');
    return this.#runner.forkSequence(sequence, length);
  }

  truncate(sequence: number, length: number): boolean {
    this.#assertIdle(sequence, 'truncate');
    return this.#runner.truncate(sequence, length);
  }

  releaseSequence(sequence: number): void {
    this.#assertIdle(sequence, 'releaseSequence');
    this.#runner.releaseSequence(sequence);
  }

  length(sequence: number): number {
    return this.#runner.length(sequence);
  }

  openSampler(parameters: SamplingParameters, prompt: Int32Array, answer: readonly number[] = []): number {
    this.#samplers.set(this.#nextSampler, {
      sampler: new Sampler(parameters, prompt, answer),
      last: answer.at(-1) ?? -1,
    });
    return this.#nextSampler++;
  }

  closeSampler(sampler: number): void {
    this.#samplers.delete(sampler);
  }

  submit(batch: readonly SequenceStep[]): SubmittedStep {
    if (this.#underWay === MOST_STEPS_UNDER_WAY) throw new RunnerBusyError('submit');
    this.#underWay++;
    const sequences = batch.map(({ sequence }) => sequence);
    for (const sequence of sequences) this.#busy.set(sequence, (this.#busy.get(sequence) ?? 0) + 1);
    const outputs = this.#runAfter(this.#last, batch, this.#failures).finally(() => {
      this.#underWay--;
      for (const sequence of sequences) this.#leave(sequence);
    });
    this.#last = outputs.catch(() => undefined);
    return { outputs };
  }

  async dispose(): Promise<void> {
    await this.#last;
    this.#samplers.clear();
    await this.#runner.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  async #runAfter(
    before: Promise<unknown>,
    batch: readonly SequenceStep[],
    failures: number,
  ): Promise<readonly SequenceOutput[]> {
    await before;
    if (failures !== this.#failures) {
      throw new InvalidStepError(
        'a failure of the step before it',
        'submit it again, with what the sequences hold now',
      );
    }
    try {
      return await this.#run(batch);
    } catch (error) {
      this.#failures++;
      throw error;
    }
  }

  async #run(batch: readonly SequenceStep[]): Promise<readonly SequenceOutput[]> {
    const steps = batch.map((step): LogitsStep => {
      const { sequence } = step;
      const choice = step.want === 'token' ? this.#choiceOfRunner(step) : null;
      return { sequence, tokens: this.#tokensOf(step), ...(choice ?? { logits: logitsWanted(step) }) };
    });
    this.#routing.trace(batch.flatMap(({ sequence, traceRouting }) => (traceRouting === true ? [sequence] : [])));
    const computed = await this.#runner.forward(steps);
    const started = performance.now();
    const outputs = batch.map((step, index) => this.#outputOf(step, computed[index]));
    this.#sampling += performance.now() - started;
    return outputs;
  }

  #tokensOf(step: SequenceStep): Int32Array {
    if (step.tokens !== 'sampled') return step.tokens;
    const { last } = this.#samplerOf(step);
    if (last < 0) throw new InvalidStepError("'sampled' of a sampler that has chosen no token", 'give the tokens');
    return Int32Array.of(last);
  }

  #samplerOf({ sampler }: SequenceStep): OpenSampler {
    const open = sampler === undefined ? undefined : this.#samplers.get(sampler);
    if (open === undefined) throw new UnknownSamplerError(sampler);
    return open;
  }

  /** How the runner may choose; null where more than the token is wanted, or more than the logits decides. */
  #choiceOfRunner(step: SequenceStep): Pick<LogitsStep, 'logits' | 'draw'> | null {
    const { sampler } = this.#samplerOf(step);
    const wantsToken = step.mask === undefined && step.logprobs === undefined && step.targets === undefined;
    const { choosesTokens = false } = this.#runner;
    if (choosesTokens === false || !wantsToken) return null;
    if (sampler.takesLargest) return { logits: 'largest' };
    if (choosesTokens === 'largest') return null;
    const draw: TokenDraw | null = sampler.planDraw();
    return draw === null ? null : { logits: 'drawn', draw };
  }

  #outputOf(step: SequenceStep, computed: LogitsOutput | undefined): SequenceOutput {
    const logits = computed?.logits ?? NO_LOGITS;
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
      open.sampler.tookDrawn();
      if (chosen < 0) throw new InvalidLogitsError();
      open.last = chosen;
      return { token: chosen };
    }
    const logits = rows.subarray(-this.vocabularySize).subarray(0, this.#tokens);
    const token = open.sampler.sample(logits, step.mask ?? null);
    if (Number.isNaN(logits[token] ?? Number.NaN)) throw new InvalidLogitsError();
    if (step.mask !== undefined && !allowsToken(step.mask, token)) {
      throw new ForwardError('a mask that lets no token through');
    }
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

  #assertIdle(sequence: number, call: string): void {
    if (this.#busy.has(sequence)) throw new RunnerBusyError(call);
  }

  #leave(sequence: number): void {
    const left = (this.#busy.get(sequence) ?? 0) - 1;
    if (left > 0) this.#busy.set(sequence, left);
    else this.#busy.delete(sequence);
  }
}

function logitsWanted({ want, targets }: SequenceStep): LogitsWanted {
  if (targets !== undefined || want === 'all') return 'all';
  return want === 'none' ? 'none' : 'last';
}

/** The rows that were asked for: with targets, more were computed. */
function wantedRows(logits: Float32Array, want: 'last' | 'all', width: number): Float32Array {
  return want === 'all' || logits.length === width ? logits : logits.slice(-width);
}
