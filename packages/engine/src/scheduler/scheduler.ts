/**
 * Continuous batching: jobs join and leave the batch between the runner's forward steps.
 *
 * Each step computes one token of every answer in progress and a bounded number of prompt tokens. Jobs start in the
 * order they came. KV memory is handed out in blocks; when it runs out, kept prefixes go first, then the job that
 * started last gives its memory back and starts over later with the tokens and random numbers it had. A job whose
 * caller does not read is paused; it keeps its place and its memory only until another job needs them.
 *
 * Where the runner overlaps steps, the next one is planned and submitted while one runs: from counts, with the token that
 * is being chosen standing for itself. Whatever would change a sequence waits until no step has it.
 *
 * A job's tokens depend on its own prompt, options and seed only: each has its own sampler, no runner mixes sequences,
 * and prompts are cut at multiples of the prefill chunk whatever else is in the batch. Floating-point sums round
 * otherwise where a prompt is cut otherwise, so a reproducible job takes from other sequences whole chunks only, and
 * computes an answer that it has lost token by token again.
 */

import type { TokenConstraint } from '../constraint/token-constraint.ts';
import { reasonOf } from '../contain.ts';
import { ForwardError, QueueFullError } from '../errors.ts';
import type { ModelRunner, SubmittedStep } from '../runners/runner.ts';
import { MOST_STEPS_UNDER_WAY } from '../runners/runner.ts';
import type { FailureReport, Job, SchedulerStats, StepReport } from './job.ts';
import { IntervalHistogram } from './interval-histogram.ts';
import { KvBudget } from './kv-budget.ts';
import type { SchedulerLimits } from './limits.ts';
import { planCounts, type PlanLimits, type PlannedStep, planPart, wantsToken } from './plan-step.ts';
import { PrefixReuse } from './prefix-reuse.ts';
import { GenerateState, type JobState, ScoreState } from './running-job.ts';
import { isEmpty, noResults, type StepResults, takeOutput } from './take-results.ts';

/** What a scheduler needs beside its limits. */
export interface SchedulerOptions extends SchedulerLimits {
  readonly runner: ModelRunner;
  /** Makes a job's constraint; null for none. Defaults to none for every job. */
  readonly createConstraint?: (spec: unknown) => TokenConstraint | null;
  /** Milliseconds, never going back. Defaults to performance.timeOrigin + performance.now(). */
  readonly now?: () => number;
}

/** A step that the runner computes. */
interface StepUnderWay {
  readonly batch: readonly PlannedStep[];
  readonly outputs: SubmittedStep['outputs'];
  /** A step before it has failed: it fails as well, through no fault of its jobs. */
  isDoomed: boolean;
}

const isMaskPending = (state: JobState): state is GenerateState & { readonly maskPending: Promise<void> } =>
  state instanceof GenerateState && state.maskPending !== null;

/** Runs jobs on one runner. Call `step` while `hasWork`; not re-entrant, but jobs may be added and cancelled during a step. */
export class Scheduler {
  readonly kv: KvBudget;
  readonly #runner: ModelRunner;
  readonly #limits: SchedulerLimits;
  readonly #planLimits: PlanLimits;
  readonly #createConstraint: (spec: unknown) => TokenConstraint | null;
  readonly #now: () => number;
  readonly #waiting: JobState[] = [];
  /** Oldest first. */
  readonly #running: JobState[] = [];
  readonly #open = new Map<number, JobState>();
  /** Oldest first. */
  readonly #underWay: StepUnderWay[] = [];
  readonly #prefixes: PrefixReuse;
  readonly #tokenIntervals = new IntervalHistogram();
  #submitted = 0;
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
    const { prefillChunk } = options;
    this.#planLimits = {
      prefillChunk,
      piecesTogether: runner.piecesTogether?.(prefillChunk) ?? 1,
      partOfPiece: (tokens) => runner.partOfPiece?.(tokens) ?? Number.POSITIVE_INFINITY,
      vocabularySize: runner.vocabularySize,
      contextLength: runner.contextLength,
    };
    this.#createConstraint = options.createConstraint ?? (() => null);
    this.#now = options.now ?? (() => performance.timeOrigin + performance.now());
    this.kv = new KvBudget(runner.memory, options.kvCacheBytes, runner.contextLength);
    this.#prefixes = new PrefixReuse({ ...options, kv: this.kv });
  }

  /** Whether `step` has anything to do: an open job that is not paused, one to put away, or a step under way. */
  get hasWork(): boolean {
    if (this.#underWay.length > 0) return true;
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
    const state = job.kind === 'score' ? new ScoreState(job) : this.#generation(job);
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
   * One forward step for everything that can run, and where the runner overlaps steps the beginning of the next. A job
   * whose constraint is still at work sits out; where nothing else can run, the step waits for the first such constraint,
   * or for a change. Reports nothing where no job is open.
   */
  async step(): Promise<StepReport> {
    const results = noResults();
    this.#dropCancelled();
    this.#admit(results);
    const most = this.#runner.overlapsSteps ? MOST_STEPS_UNDER_WAY : 1;
    while (this.#underWay.length < most) if (!this.#submit(results)) break;
    const step = this.#underWay.shift();
    if (step !== undefined) await this.#take(step, results);
    else if (isEmpty(results)) await this.#untilChange();
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

  #generation(job: Extract<Job, { kind: 'generate' }>): GenerateState {
    const constraint = this.#createConstraint(job.constraint);
    return new GenerateState(job, constraint, this.#runner.openSampler(job.sampling, job.prompt));
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
    for (const state of this.#open.values()) if (state.cancelled && state.underWay === 0) this.#retire(state);
  }

  #admit(results: StepResults): void {
    for (;;) {
      const index = this.#waiting.findIndex(({ paused }) => !paused);
      const state = this.#waiting[index];
      if (state === undefined) return;
      if (!this.#hasRoomFor(state)) {
        const idle = this.#running.findLast(({ paused, underWay }) => paused && underWay === 0);
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
    state.turnSince = this.#submitted;
    if (state instanceof GenerateState && state.startedAt === null) {
      state.cachedTokens = state.computed;
      this.#prefixQueries += state.job.prompt.length;
      this.#prefixHits += state.computed;
    }
    // The whole prompt is reserved at once, so that prompts in progress never fight over blocks.
    if (state.sequence !== null) this.kv.reserve(state.sequence, state.required + 1);
  }

  /** Plans a step and hands it to the runner; false where nothing can be computed now. */
  #submit(results: StepResults): boolean {
    const batch = this.#planBatch(results);
    if (batch.length === 0) return false;
    const begin = this.#now();
    let outputs: SubmittedStep['outputs'];
    try {
      ({ outputs } = this.#runner.submit(batch.map(({ step }) => step)));
    } catch (cause) {
      this.#failStep(batch, cause, results);
      return false;
    }
    // Taken when its turn comes; until then a failure must not count as unhandled.
    outputs.catch(() => undefined);
    this.#submitted++;
    for (const { state, step } of batch) {
      state.startedAt ??= begin;
      state.underWay++;
      state.computed += step.tokens === 'sampled' ? 1 : step.tokens.length;
      if (state instanceof GenerateState && step.want === 'token') state.drawing++;
    }
    this.#underWay.push({ batch, outputs, isDoomed: false });
    return true;
  }

  #planBatch(results: StepResults): PlannedStep[] {
    const active = this.#running.filter(({ isActive }) => isActive);
    const counts = planCounts(active, this.#planLimits);
    // Oldest first: when memory runs out, it is the newest job that gives way.
    const batch: PlannedStep[] = [];
    for (const state of active) {
      if (state instanceof ScoreState && state.pending === 0 && state.underWay === 0) {
        results.scored.push({ id: state.job.id, logprobs: state.logprobs });
        this.#retire(state);
        continue;
      }
      const count = counts.get(state);
      if (count === undefined || state.sequence === null) continue;
      if (!this.#makeRoom(state, state.computed + count, results) || state.sequence === null) continue;
      // From the next step on: whoever comes then waits as long.
      state.turnSince = this.#submitted + 1;
      if (wantsToken(state, state.computed + count) && state.constraint !== null) {
        if (isMaskPending(state)) continue;
        if (state.constraintFailure !== null) {
          this.#fail(state, state.constraintFailure.error, results);
          continue;
        }
      }
      batch.push(planPart(state, state.sequence, count, this.#planLimits));
    }
    return batch;
  }

  /** Waits for a step and gives its jobs what they got. */
  async #take({ batch, outputs, isDoomed }: StepUnderWay, results: StepResults): Promise<void> {
    let computed: Awaited<SubmittedStep['outputs']> | null = null;
    let cause: unknown = null;
    try {
      computed = await outputs;
    } catch (error) {
      cause = error;
    }
    for (const { state, step } of batch) {
      state.underWay--;
      if (state instanceof GenerateState && step.want === 'token') state.drawing--;
    }
    if (computed === null) {
      for (const later of this.#underWay) later.isDoomed = true;
      if (isDoomed) this.#takeBack(batch);
      else this.#failStep(batch, cause, results);
      return;
    }
    this.#steps++;
    const at = this.#now();
    for (const [index, part] of batch.entries()) {
      const output = computed[index];
      if (part.state.retired) this.#retire(part.state);
      else if (output !== undefined) this.#takePart(part, output, at, results);
    }
  }

  /** Jobs of a step that was never computed go on from where they were. */
  #takeBack(batch: readonly PlannedStep[]): void {
    for (const { state, from } of batch) {
      state.computed = from;
      if (state.retired) this.#retire(state);
    }
  }

  #takePart(
    part: PlannedStep,
    output: Awaited<SubmittedStep['outputs']>[number],
    at: number,
    results: StepResults,
  ): void {
    const { state, step } = part;
    this.#countPrompt(part);
    try {
      const before = state instanceof GenerateState ? state.lastTokenAt : null;
      const taken = takeOutput(part, output, at, this.#runner.contextLength, results);
      if (state instanceof GenerateState && step.want === 'token') {
        this.#generatedTokens++;
        if (before !== null) this.#tokenIntervals.observe(at - before);
        if (state.answer.length === 1) this.#prefixes.keepPrompt(state);
      }
      if (taken.kind === 'scored') this.#retire(state);
      if (taken.kind === 'finished' && state instanceof GenerateState) this.#finish(state, taken, results);
    } catch (error) {
      this.#fail(state, error, results);
    }
  }

  #countPrompt({ state, from, step }: PlannedStep): void {
    const to = from + (step.tokens === 'sampled' ? 1 : step.tokens.length);
    this.#promptTokens += Math.max(0, Math.min(state.job.prompt.length, to) - from);
  }

  /** Reserves `tokens` for a running job: from free blocks, kept prefixes, paused jobs, and then the newest job. */
  #makeRoom(state: JobState, tokens: number, results: StepResults): boolean {
    for (;;) {
      if (state.sequence === null) return false;
      if (this.kv.reserve(state.sequence, tokens)) return true;
      if (this.#prefixes.evict()) continue;
      // Whose memory is taken must not be in a step: the next one is planned when this one is done.
      if (this.#underWay.length > 0) return false;
      const newest = this.#running.findLast(({ paused }) => paused) ?? this.#running.at(-1);
      if (newest === undefined || this.#running.length === 1) {
        // Alone and still too long: the answer ends here.
        if (state instanceof GenerateState) {
          this.#finish(state, state.finish ?? { reason: 'length', stopToken: null, at: this.#now() }, results);
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

  #finish(
    state: GenerateState,
    { reason, stopToken, at }: NonNullable<GenerateState['finish']>,
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

  #failStep(batch: readonly PlannedStep[], cause: unknown, results: StepResults): void {
    const error = new ForwardError(reasonOf(cause), cause);
    for (const { state } of batch) this.#fail(state, error, results);
  }

  #fail(state: JobState, error: unknown, results: StepResults): void {
    if (!state.retired) results.failed.push({ id: state.job.id, error });
    // What the runner left in the sequence is not known: nothing of it may be reused.
    state.isSpoilt = true;
    this.#retire(state);
  }

  /** Takes a job out, whatever its state, and keeps its sequence for prefix reuse; where a step has it, when it is done. */
  #retire(state: JobState): void {
    if (!state.retired && state instanceof GenerateState) {
      state.constraint?.[Symbol.dispose]();
    }
    state.retired = true;
    if (this.#open.get(state.job.id) === state) this.#open.delete(state.job.id);
    if (state.underWay > 0) return;
    for (const list of [this.#waiting, this.#running]) {
      const index = list.indexOf(state);
      if (index >= 0) list.splice(index, 1);
    }
    if (state instanceof GenerateState) this.#runner.closeSampler(state.sampler);
    if (state.isSpoilt) {
      this.#releaseSequence(state);
      state.forgetSequence();
    } else this.#prefixes.detach(state);
  }

  #releaseSequence(state: JobState): void {
    if (state.sequence !== null) this.#prefixes.release(state.sequence);
  }
}
