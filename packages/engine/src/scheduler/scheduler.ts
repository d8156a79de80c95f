/**
 * Continuous batching: jobs join and leave the batch between the runner's forward steps.
 *
 * Each step computes one token of every answer in progress and a bounded number of prompt tokens. Jobs start in the
 * order they came. KV memory is handed out in blocks; when it runs out, kept prefixes go first, then the job that
 * started last gives its memory back and starts over later with the tokens and random numbers it had. A job whose
 * caller does not read is paused; it keeps its place and its memory only until another job needs them.
 *
 * A job's tokens depend on its own prompt, options and seed only: each has its own sampler, no runner mixes sequences,
 * and prompts are cut at multiples of the prefill chunk whatever else is in the batch. Floating-point sums round
 * otherwise where a prompt is cut otherwise, so a reproducible job takes from other sequences whole chunks only, and
 * computes an answer that it has lost token by token again.
 *
 * @module
 */
import type { TokenConstraint } from '../constraint.ts';
import { reasonOf } from '../contain.ts';
import { ForwardError, InvalidLogitsError, QueueFullError } from '../errors.ts';
import type { ModelRunner, SequenceOutput, SequenceStep } from '../runner.ts';
import { logprobOf, logprobsOf } from '../sampling/logprobs.ts';
import { allowsToken } from '../sampling/token-mask.ts';
import type {
  FailureReport,
  FinishReport,
  Job,
  RoutingReport,
  SchedulerStats,
  ScoreReport,
  StepReport,
  TokenReport,
} from './job.ts';
import { IntervalHistogram } from './interval-histogram.ts';
import { KvBudget } from './kv-budget.ts';
import { takeTurns } from './prefill-turns.ts';
import { PrefixReuse } from './prefix-reuse.ts';
import { RoutingLog } from './routing-log.ts';
import { GenerateState, type JobState, ScoreState } from './running-job.ts';

/** Limits of a scheduler. */
export interface SchedulerLimits {
  /** The most jobs in the batch. */
  readonly maxSequences: number;
  /** The most jobs that wait beside them; the next is refused. */
  readonly maxQueue: number;
  /** The most prompt tokens computed in one step. */
  readonly prefillChunk: number;
  /** KV memory, in bytes. */
  readonly kvCacheBytes: number;
  /** The most sequences kept for prefix reuse. */
  readonly maxCachedPrefixes: number;
}

/** What a scheduler needs beside its limits. */
export interface SchedulerOptions extends SchedulerLimits {
  readonly runner: ModelRunner;
  readonly routing: { readonly layers: number; readonly experts: number; readonly topK: number };
  /**
   * How many ids have a token, from 0 up: a model's vocabulary may be padded beyond them. No other id is ever chosen, and
   * log-probabilities are those among the ids that can be. Defaults to all of the runner's vocabulary.
   */
  readonly tokens?: number;
  /** Makes a job's constraint; null for none. Defaults to none for every job. */
  readonly createConstraint?: (spec: unknown) => TokenConstraint | null;
  /** Milliseconds, never going back. Defaults to performance.timeOrigin + performance.now(). */
  readonly now?: () => number;
}

/** Bound on the logits of one score step, in bytes: all positions have logits then. */
const SCORE_LOGITS_BYTES = 64 * 2 ** 20;

interface PlannedStep {
  readonly state: JobState;
  readonly step: SequenceStep;
}

interface StepResults {
  readonly tokens: TokenReport[];
  readonly finished: FinishReport[];
  readonly scored: ScoreReport[];
  readonly routing: RoutingReport[];
  readonly failed: FailureReport[];
}

const isMaskPending = (state: JobState): state is GenerateState & { readonly maskPending: Promise<void> } =>
  state instanceof GenerateState && state.maskPending !== null;

/** Runs jobs on one runner. Call `step` while `hasWork`; not re-entrant, but jobs may be added and cancelled during a step. */
export class Scheduler {
  readonly kv: KvBudget;
  readonly routingLog: RoutingLog;
  readonly #runner: ModelRunner;
  readonly #limits: SchedulerLimits;
  /** Logits that count, of each row. */
  readonly #tokens: number;
  readonly #createConstraint: (spec: unknown) => TokenConstraint | null;
  readonly #now: () => number;
  readonly #waiting: JobState[] = [];
  /** Oldest first. */
  readonly #running: JobState[] = [];
  readonly #open = new Map<number, JobState>();
  readonly #prefixes: PrefixReuse;
  readonly #tokenIntervals = new IntervalHistogram();
  #steps = 0;
  #promptTokens = 0;
  #generatedTokens = 0;
  #prefixQueries = 0;
  #prefixHits = 0;
  #preemptions = 0;
  /** Places in the queue that are kept for jobs still to come. */
  #keptPlaces = 0;
  #wake: (() => void) | null = null;

  constructor(options: SchedulerOptions) {
    const { runner } = options;
    this.#runner = runner;
    this.#limits = options;
    this.#tokens = Math.min(options.tokens ?? runner.vocabularySize, runner.vocabularySize);
    this.#createConstraint = options.createConstraint ?? (() => null);
    this.#now = options.now ?? (() => performance.timeOrigin + performance.now());
    this.kv = new KvBudget(runner.memory, options.kvCacheBytes, runner.contextLength);
    this.routingLog = new RoutingLog(options.routing);
    this.#prefixes = new PrefixReuse({ ...options, kv: this.kv });
    runner.onRouting = this.routingLog.record;
  }

  /** Whether `step` has anything to do: an open job that is not paused, or one to put away. */
  get hasWork(): boolean {
    for (const { paused, cancelled } of this.#open.values()) if (!paused || cancelled) return true;
    return false;
  }

  get stats(): SchedulerStats {
    return {
      running: this.#running.length,
      waiting: this.#waiting.length + this.#keptPlaces,
      kvBytesUsed: this.kv.usedBytes,
      kvBytesBudget: this.kv.plan.budgetBytes,
      kvCacheUsage: this.kv.usedBytes / this.kv.plan.budgetBytes,
      steps: this.#steps,
      promptTokens: this.#promptTokens,
      generatedTokens: this.#generatedTokens,
      prefixCacheQueries: this.#prefixQueries,
      prefixCacheHits: this.#prefixHits,
      preemptions: this.#preemptions,
      tokenIntervals: this.#tokenIntervals.counts,
    };
  }

  /** Puts a job at the end of the queue. Throws QueueFullError. The prompt must fit `kv.plan.longestSequence`. */
  add(job: Job): void {
    this.#checkPlace();
    const state =
      job.kind === 'score' ? new ScoreState(job) : new GenerateState(job, this.#createConstraint(job.constraint));
    this.#waiting.push(state);
    this.#open.set(job.id, state);
    this.wake();
  }

  /** Keeps a place in the queue for a job that is being prepared. Throws QueueFullError. */
  keepPlace(): void {
    this.#checkPlace();
    this.#keptPlaces++;
  }

  /** Gives a kept place back: just before its job is added, or where the job will not come. */
  givePlaceBack(): void {
    this.#keptPlaces--;
  }

  /** Ends a step that waits for constraints only, so that its caller goes on. */
  wake(): void {
    this.#wake?.();
  }

  /** Ends a job before its next token; nothing more is reported of it. Unknown ids are ignored. */
  cancel(id: number): void {
    const state = this.#open.get(id);
    if (state !== undefined) state.cancelled = true;
    this.wake();
  }

  /** Stops computing a job, or goes on with it, from the next step on. Unknown ids are ignored. */
  pause(id: number, paused: boolean): void {
    const state = this.#open.get(id);
    if (state !== undefined) state.paused = paused;
    this.wake();
  }

  /**
   * One forward step for everything that can run. A job whose constraint is still at work sits out; where nothing else
   * can run, the step waits for the first such constraint, or for a change. Reports nothing where no job is open.
   */
  async step(): Promise<StepReport> {
    const results: StepResults = { tokens: [], finished: [], scored: [], routing: [], failed: [] };
    this.#dropCancelled();
    this.#admit(results);
    const batch = this.#planBatch(results);
    if (batch.length === 0) {
      if (results.scored.length + results.finished.length + results.failed.length === 0) await this.#untilChange();
      return results;
    }
    const begin = this.#now();
    for (const { state } of batch) state.startedAt ??= begin;
    for (const { state, step } of batch) {
      if (state instanceof GenerateState && state.job.traceRouting) this.routingLog.trace(step.sequence);
    }
    let outputs: readonly SequenceOutput[];
    try {
      outputs = await this.#runner.forward(batch.map(({ step }) => step));
    } catch (cause) {
      const error = new ForwardError(reasonOf(cause), cause);
      for (const { state } of batch) this.#fail(state, error, results);
      return results;
    }
    this.#steps++;
    const end = this.#now();
    for (const [i, { state, step }] of batch.entries()) {
      const logits = outputs[i]?.logits ?? new Float32Array(0);
      try {
        if (state instanceof GenerateState) await this.#advanceGeneration(state, step, logits, end, results);
        else if (state instanceof ScoreState) this.#advanceScore(state, step, logits, results);
      } catch (error) {
        this.#fail(state, error, results);
      }
    }
    return results;
  }

  /** Fails every open job with the same error and forgets them. */
  failAll(error: unknown): FailureReport[] {
    const failed = [...this.#open.keys()].map((id) => ({ id, error }));
    for (const state of this.#open.values()) if (state instanceof GenerateState) state.constraint?.[Symbol.dispose]();
    this.#open.clear();
    this.#waiting.length = 0;
    this.#running.length = 0;
    return failed;
  }

  #checkPlace(): void {
    const free = Math.max(0, this.#limits.maxSequences - this.#running.length);
    const taken = this.#waiting.length + this.#keptPlaces;
    if (taken >= this.#limits.maxQueue + free) throw new QueueFullError(taken);
  }

  /** Waits until a constraint has its mask, a job comes, goes or is paused, or `wake` is called. */
  async #untilChange(): Promise<void> {
    const pending = this.#running.flatMap((state) =>
      isMaskPending(state) && !state.paused ? [state.maskPending] : [],
    );
    if (pending.length === 0) return;
    const change = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    await Promise.race([change, ...pending]);
    this.#wake = null;
  }

  #dropCancelled(): void {
    for (const state of this.#open.values()) if (state.cancelled) this.#retire(state);
  }

  #admit(results: StepResults): void {
    for (;;) {
      const index = this.#waiting.findIndex(({ paused }) => !paused);
      const state = this.#waiting[index];
      if (state === undefined) return;
      if (!this.#hasRoomFor(state)) {
        const idle = this.#running.findLast(({ paused }) => paused);
        if (idle === undefined) return;
        this.#preempt(idle);
        continue;
      }
      this.#waiting.splice(index, 1);
      try {
        this.#attachSequence(state);
      } catch (cause) {
        this.#fail(state, new ForwardError(reasonOf(cause), cause), results);
        continue;
      }
      this.#running.push(state);
    }
  }

  #hasRoomFor(state: JobState): boolean {
    if (this.#running.length >= this.#limits.maxSequences) return false;
    while (!this.kv.fits(state.required + 1)) if (!this.#prefixes.evict()) break;
    // With nothing else running, the job may try: its prompt was checked against the whole budget.
    return this.kv.fits(state.required + 1) || this.#running.length === 0;
  }

  #attachSequence(state: JobState): void {
    this.#prefixes.attach(state, this.#running);
    state.turnSince = this.#steps;
    if (state instanceof GenerateState && state.startedAt === null) {
      state.cachedTokens = state.computed;
      this.#prefixQueries += state.job.prompt.length;
      this.#prefixHits += state.computed;
    }
    // The whole prompt is reserved at once, so that prompts in progress never fight over blocks.
    if (state.sequence !== null) this.kv.reserve(state.sequence, state.required + 1);
  }

  #planBatch(results: StepResults): PlannedStep[] {
    const active = this.#running.filter(({ paused }) => !paused);
    const planned = new Map<JobState, number>();
    const prefilling: { readonly state: JobState; readonly size: number; readonly since: number }[] = [];
    for (const state of active) {
      const size = this.#nextPiece(state);
      if (size === 1) planned.set(state, 1);
      else if (size > 1) prefilling.push({ state, size, since: state.turnSince });
    }
    for (const index of takeTurns(prefilling, this.#limits.prefillChunk)) {
      const turn = prefilling[index];
      if (turn !== undefined) planned.set(turn.state, turn.size);
    }
    // Oldest first: when memory runs out, it is the newest job that gives way.
    const batch: PlannedStep[] = [];
    for (const state of active) {
      if (state.pending === 0 && state instanceof ScoreState) {
        results.scored.push({ id: state.job.id, logprobs: state.logprobs });
        this.#retire(state);
        continue;
      }
      const count = planned.get(state);
      if (count === undefined || state.sequence === null) continue;
      if (!this.#makeRoom(state, state.computed + count, results) || state.sequence === null) continue;
      const end = state.computed + count;
      const logits = this.#logitsWanted(state, end);
      // From the next step on: whoever comes then waits as long.
      state.turnSince = this.#steps + 1;
      if (logits === 'last' && isMaskPending(state)) continue;
      batch.push({ state, step: { sequence: state.sequence, tokens: state.slice(state.computed, end), logits } });
    }
    return batch;
  }

  /** Tokens up to the next place where the job is cut. */
  #nextPiece(state: JobState): number {
    const { computed, required } = state;
    const chunk = this.#chunkOf(state);
    const cut = computed - (computed % chunk) + chunk;
    if (state instanceof GenerateState && state.job.reproducible) {
      const { length } = state.job.prompt;
      return computed < length ? Math.min(cut, length) - computed : Math.min(1, state.pending);
    }
    return Math.min(cut, required) - computed;
  }

  #chunkOf(state: JobState): number {
    const { prefillChunk } = this.#limits;
    if (!(state instanceof ScoreState)) return prefillChunk;
    return Math.min(prefillChunk, Math.max(1, Math.floor(SCORE_LOGITS_BYTES / (4 * this.#runner.vocabularySize))));
  }

  #logitsWanted(state: JobState, end: number): 'none' | 'last' | 'all' {
    if (state instanceof ScoreState) return 'all';
    return end === state.required && state instanceof GenerateState && state.finish === null ? 'last' : 'none';
  }

  /** Reserves `tokens` for a running job: from free blocks, kept prefixes, paused jobs, and then the newest job. */
  #makeRoom(state: JobState, tokens: number, results: StepResults): boolean {
    for (;;) {
      if (state.sequence === null) return false;
      if (this.kv.reserve(state.sequence, tokens)) return true;
      if (this.#prefixes.evict()) continue;
      const newest = this.#running.findLast(({ paused }) => paused) ?? this.#running.at(-1);
      if (newest === undefined || this.#running.length === 1) {
        // Alone and still too long: the answer ends here.
        if (state instanceof GenerateState) {
          const { reason, stopToken, at } = state.finish ?? { reason: 'length', stopToken: null, at: this.#now() };
          this.#finish(state, reason, stopToken, at, results);
        } else this.#fail(state, new ForwardError('a KV budget smaller than the text to score'), results);
        return false;
      }
      this.#preempt(newest);
    }
  }

  #preempt(state: JobState): void {
    this.#preemptions++;
    this.#running.splice(this.#running.indexOf(state), 1);
    this.#releaseSequence(state);
    state.forgetSequence();
    this.#waiting.unshift(state);
  }

  async #advanceGeneration(
    state: GenerateState,
    step: SequenceStep,
    logits: Float32Array,
    at: number,
    results: StepResults,
  ): Promise<void> {
    const { job } = state;
    if (job.traceRouting) {
      const layers = this.routingLog.take(step.sequence);
      results.routing.push({ id: job.id, position: state.computed, tokens: step.tokens.length, layers });
    }
    this.#promptTokens += Math.max(
      0,
      Math.min(job.prompt.length, state.computed + step.tokens.length) - state.computed,
    );
    state.computed += step.tokens.length;
    if (state.finish !== null) {
      this.#finish(state, state.finish.reason, state.finish.stopToken, state.finish.at, results);
      return;
    }
    if (state.pending > 0) return;
    if (state.answer.length === 0) this.#prefixes.keepPrompt(state);

    if (state.constraint !== null) await state.constraint.ready;
    const row = logits.subarray(0, this.#tokens);
    const mask = state.constraint?.mask() ?? null;
    const token = state.sampler.sample(row, mask);
    if (Number.isNaN(row[token] ?? Number.NaN)) throw new InvalidLogitsError();
    if (mask !== null && !allowsToken(mask, token)) throw new ForwardError('a mask that lets no token through');
    state.constraint?.accept(token);
    state.awaitMask();
    state.answer.push(token);
    this.#generatedTokens++;
    if (state.lastTokenAt !== null) this.#tokenIntervals.observe(at - state.lastTokenAt);
    state.lastTokenAt = at;
    const report: { -readonly [K in keyof TokenReport]: TokenReport[K] } = { id: job.id, token, at };
    if (job.logprobs !== null) report.logprobs = logprobsOf(row, token, job.logprobs);
    if (state.firstTokenAt === null) {
      state.firstTokenAt = at;
      const startedAt = state.startedAt ?? at;
      const { cachedTokens } = state;
      report.start = { cachedTokens, queue: startedAt - job.arrival, prefill: at - startedAt };
    }
    results.tokens.push(report);

    const stopped = state.stopTokenIds.has(token);
    const full = state.answer.length >= job.maxTokens || state.required >= this.#runner.contextLength;
    if (!stopped && !full) return;
    const reason = stopped ? 'stop' : 'length';
    const stopToken = stopped ? token : null;
    // A traced answer's last token takes one more step, so that every token has its routing.
    if (job.traceRouting) state.finish = { reason, stopToken, at };
    else this.#finish(state, reason, stopToken, at, results);
  }

  #advanceScore(state: ScoreState, step: SequenceStep, logits: Float32Array, results: StepResults): void {
    const width = this.#runner.vocabularySize;
    for (let row = 0; row < step.tokens.length; row++) {
      const position = state.computed + row;
      const next = state.job.prompt[position + 1] ?? 0;
      const logprob = logprobOf(logits.subarray(row * width, row * width + this.#tokens), next);
      if (Number.isNaN(logprob)) throw new InvalidLogitsError();
      state.logprobs[position] = logprob;
    }
    this.#promptTokens += step.tokens.length;
    state.computed += step.tokens.length;
    if (state.pending > 0) return;
    results.scored.push({ id: state.job.id, logprobs: state.logprobs });
    this.#retire(state);
  }

  #finish(
    state: GenerateState,
    reason: 'stop' | 'length',
    stopToken: number | null,
    at: number,
    results: StepResults,
  ): void {
    const started = state.startedAt ?? at;
    const first = state.firstTokenAt ?? at;
    results.finished.push({
      id: state.job.id,
      finishReason: reason,
      stopToken,
      cachedTokens: state.cachedTokens,
      timings: { queue: started - state.job.arrival, prefill: first - started, decode: at - first },
    });
    this.#retire(state);
  }

  #fail(state: JobState, error: unknown, results: StepResults): void {
    results.failed.push({ id: state.job.id, error });
    // What the runner left in the sequence is not known: nothing of it may be reused.
    this.#releaseSequence(state);
    state.forgetSequence();
    this.#retire(state);
  }

  /** Takes a job out, whatever its state, and keeps its sequence for prefix reuse. */
  #retire(state: JobState): void {
    this.#open.delete(state.job.id);
    for (const list of [this.#waiting, this.#running]) {
      const index = list.indexOf(state);
      if (index >= 0) list.splice(index, 1);
    }
    if (state instanceof GenerateState) state.constraint?.[Symbol.dispose]();
    this.#prefixes.detach(state);
  }

  #releaseSequence(state: JobState): void {
    if (state.sequence !== null) this.#prefixes.release(state.sequence);
  }
}
