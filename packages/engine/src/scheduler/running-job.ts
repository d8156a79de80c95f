/**
 * A job that has a sequence: what it computed, what it still has to, and what it has produced.
 */

import type { TokenConstraint } from '../constraint/token-constraint.ts';
import type { GenerateJob, Job, ScoreJob } from './job.ts';

/** State that outlives a preemption: the tokens so far. */
export abstract class JobState {
  /** When its first step began, on the scheduler's clock; null before it. */
  startedAt: number | null = null;
  /** The runner's sequence; null while the job waits. */
  sequence: number | null = null;
  /** Tokens in the sequence's KV cache when the steps under way are done. */
  computed = 0;
  /** Of those, the ones that were there when it got its sequence. */
  begunWith = 0;
  /** Steps under way that have its sequence: it must not be touched before they are done. */
  underWay = 0;
  /** The step of its last turn to compute a piece of its prompt, or the one in which it got its sequence. */
  turnSince = 0;
  /** Of the tokens that its sequence began with, those that are exact: see `CachedSequence`. */
  exactAtStart = 0;
  /** Whether all of those are, so that what is computed after them is as well. */
  startedExact = true;
  cancelled = false;
  /** Everything is reported; its sequence is put away when no step has it any more. */
  retired = false;
  /** A step failed: what its sequence holds is not known. */
  isSpoilt = false;
  /** Nobody takes its tokens at present: it is not computed, and gives way to jobs that wait. */
  paused = false;

  abstract readonly job: Job;
  /** Tokens that have to be in the KV cache before the job can go on. */
  abstract get required(): number;
  /** Tokens of prompt and answer that are known. */
  abstract get knownTokens(): number;
  /** Known tokens [from, to) of prompt and answer. */
  abstract slice(from: number, to: number): Int32Array;

  /** Tokens that wait to be computed. */
  get pending(): number {
    return this.required - this.computed;
  }

  /** Whether the next step may have it. */
  get isActive(): boolean {
    return !this.paused && !this.cancelled && !this.retired;
  }

  /** Gives up the sequence's contents: everything has to be computed again. */
  forgetSequence(): void {
    this.sequence = null;
    this.computed = 0;
  }
}

/** A generation in progress. */
export class GenerateState extends JobState {
  readonly job: GenerateJob;
  /** The runner's sampler, with its random numbers. */
  readonly sampler: number;
  readonly constraint: TokenConstraint | null;
  readonly stopTokenIds: ReadonlySet<number>;
  /** The tokens generated so far. */
  readonly answer: number[] = [];
  /** Tokens that steps under way choose. */
  drawing = 0;
  cachedTokens = 0;
  firstTokenAt: number | null = null;
  lastTokenAt: number | null = null;
  /** Set when the answer is complete and only its last token's routing is still to come. */
  finish: { readonly reason: 'stop' | 'length'; readonly stopToken: number | null; readonly at: number } | null = null;
  /** Settles when the constraint has told what may come next, or has failed; null where it has already. */
  maskPending: Promise<void> | null = null;
  /** Why the constraint cannot go on. */
  constraintFailure: { readonly error: unknown } | null = null;

  constructor(job: GenerateJob, constraint: TokenConstraint | null, sampler: number) {
    super();
    this.job = job;
    this.constraint = constraint;
    this.sampler = sampler;
    this.stopTokenIds = new Set(job.stopTokenIds);
    this.awaitMask();
  }

  /** Called where the constraint works out what may come next. */
  awaitMask(): void {
    if (this.constraint === null) return;
    const settled = (): void => {
      if (this.maskPending === pending) this.maskPending = null;
    };
    const pending = this.constraint.ready.then(settled, (error: unknown) => {
      this.constraintFailure = { error };
      settled();
    });
    this.maskPending = pending;
  }

  override get required(): number {
    return this.knownTokens + this.drawing;
  }

  override get knownTokens(): number {
    return this.job.prompt.length + this.answer.length;
  }

  override slice(from: number, to: number): Int32Array {
    const { prompt } = this.job;
    if (to <= prompt.length) return prompt.subarray(from, to);
    const tokens = new Int32Array(to - from);
    for (let i = from; i < to; i++)
      tokens[i - from] = (i < prompt.length ? prompt[i] : this.answer[i - prompt.length]) ?? 0;
    return tokens;
  }
}

/** A score in progress. */
export class ScoreState extends JobState {
  readonly job: ScoreJob;
  /** log p of each token but the first, filled from the start. */
  readonly logprobs: Float64Array;

  constructor(job: ScoreJob) {
    super();
    this.job = job;
    this.logprobs = new Float64Array(job.prompt.length - 1);
  }

  /** The last token predicts nothing, so it is not computed. */
  override get required(): number {
    return this.job.prompt.length - 1;
  }

  override get knownTokens(): number {
    return this.job.prompt.length;
  }

  override slice(from: number, to: number): Int32Array {
    return this.job.prompt.subarray(from, to);
  }
}
