/**
 * What the scheduler is asked to do and what it reports. Everything here survives a structured clone.
 */

import type { LayerRouting } from '../runners/runner.ts';
import type { RawLogprobs } from '../sampling/logprobs.ts';
import type { SamplingParameters } from '../sampling/parameters.ts';
import type { IntervalCounts } from './interval-histogram.ts';

/** Tokens to continue. */
export interface GenerateJob {
  readonly kind: 'generate';
  /** Unique among open jobs. */
  readonly id: number;
  /** At least one token. */
  readonly prompt: Int32Array;
  readonly sampling: SamplingParameters;
  /** 1 and up. */
  readonly maxTokens: number;
  /** Tokens that end the answer; they are part of it. */
  readonly stopTokenIds: readonly number[];
  /** How many of the likeliest tokens to report with each token; null reports nothing. */
  readonly logprobs: number | null;
  readonly traceRouting: boolean;
  readonly reusePrefix: boolean;
  /** Whether every bit of the logits has to be as if the job were alone: a seed was given. */
  readonly reproducible: boolean;
  /** Restricts which tokens may come next; null for none. Made into a TokenConstraint by the worker. */
  readonly constraint: unknown;
  /** When the request came in, in milliseconds since 1970 by a monotonic clock (performance.timeOrigin + performance.now()). */
  readonly arrival: number;
}

/** Tokens whose likelihood is wanted. */
export interface ScoreJob {
  readonly kind: 'score';
  readonly id: number;
  /** At least one token. */
  readonly prompt: Int32Array;
  readonly arrival: number;
}

export type Job = GenerateJob | ScoreJob;

/** One new token of one request. */
export interface TokenReport {
  readonly id: number;
  readonly token: number;
  /** When it was made, on the clock of `GenerateJob.arrival`. */
  readonly at: number;
  /** With the first token only. */
  readonly start?: { readonly cachedTokens: number; readonly queue: number; readonly prefill: number };
  readonly logprobs?: RawLogprobs;
}

/** Durations in milliseconds. */
export interface JobTimings {
  readonly queue: number;
  readonly prefill: number;
  readonly decode: number;
}

/** A generation that came to its end. */
export interface FinishReport {
  readonly id: number;
  readonly finishReason: 'stop' | 'length';
  /** The stop token, or null. */
  readonly stopToken: number | null;
  readonly cachedTokens: number;
  readonly timings: JobTimings;
}

/** A finished score. */
export interface ScoreReport {
  readonly id: number;
  /** f64 [tokens - 1]: log p of each token but the first. */
  readonly logprobs: Float64Array;
}

/** The routing of a run of one traced request's positions. */
export interface RoutingReport {
  readonly id: number;
  readonly position: number;
  readonly tokens: number;
  readonly layers: readonly LayerRouting[];
}

/** A job that cannot go on. */
export interface FailureReport {
  readonly id: number;
  readonly error: unknown;
}

/** Everything that one step brought, in the order of the batch. */
export interface StepReport {
  readonly tokens: readonly TokenReport[];
  readonly finished: readonly FinishReport[];
  readonly scored: readonly ScoreReport[];
  readonly routing: readonly RoutingReport[];
  readonly failed: readonly FailureReport[];
}

/** Counters and gauges since the scheduler was made. */
export interface SchedulerStats {
  /** Jobs in the batch now. */
  readonly running: number;
  /** Jobs in the queue now. */
  readonly waiting: number;
  /** KV memory handed out now, the prefix cache's share included, in bytes. */
  readonly kvBytesUsed: number;
  readonly kvBytesBudget: number;
  /** kvBytesUsed / kvBytesBudget. */
  readonly kvCacheUsage: number;
  readonly steps: number;
  /** Prompt tokens computed, cached ones not counted. */
  readonly promptTokens: number;
  readonly generatedTokens: number;
  /** Prompt tokens looked up in the prefix cache. */
  readonly prefixCacheQueries: number;
  /** Prompt tokens found there. */
  readonly prefixCacheHits: number;
  /** Times a running job lost its KV to an older one and had to start over. */
  readonly preemptions: number;
  /** From each token of an answer to the next. */
  readonly tokenIntervals: IntervalCounts;
}

/**
 * Gets what happens to one job. Called from the message handler: has to be quick. A listener that throws ends its own
 * job, with DeliveryError, and no other.
 */
export interface JobListener {
  queued(): void;
  token(report: TokenReport): void;
  routing(report: RoutingReport): void;
  finished(report: FinishReport): void;
  scored(report: ScoreReport): void;
  failed(error: Error): void;
}
