/**
 * The messages between the engine and its worker. All of them survive a structured clone.
 */

import type { TokenizerData } from '@switchyard/models';
import type { ExpertLoad, LayerRouting, RunnerTimings } from '../runners/runner.ts';
import type { Activations, ExpertPrecision, RouterChoice } from '../runners/runner-module.ts';
import type { RunnerSource } from '../runners/create-runner.ts';
import type { LoadingStep } from '../runners/load-plan.ts';
import type { FinishReport, Job, RoutingReport, SchedulerStats, ScoreReport } from '../scheduler/job.ts';
import type { KvPlan } from '../scheduler/kv-budget.ts';
import type { SchedulerLimits } from '../scheduler/limits.ts';
import type { SerializedError } from '../serialized-error.ts';
import type { TokenList } from './token-list.ts';

/** What the worker starts with. */
export interface WorkerData {
  /** The checkpoint folder. */
  readonly path: string;
  /** The checkpoint's tokenizer, already read; left out, the worker reads it. */
  readonly tokenizer?: TokenizerData;
  readonly expertPrecision: ExpertPrecision;
  readonly activations: Activations;
  readonly threads: number | undefined;
  readonly router: RouterChoice;
  readonly limits: SchedulerLimits;
  readonly runner: RunnerSource;
  readonly device: number | string | undefined;
  readonly runnerOptions: unknown;
  /** Of a ThreadGate. */
  readonly gate: SharedArrayBuffer;
}

/** Facts about the loaded model. */
export interface ModelInfo {
  /** The runner's name, such as 'onnxruntime-cpu'. */
  readonly runner: string;
  readonly layers: number;
  readonly experts: number;
  readonly expertsPerToken: number;
  readonly vocabularySize: number;
  readonly contextLength: number;
  readonly router: { readonly backend: string; readonly device: string };
  readonly plan: KvPlan;
}

/** A snapshot of the worker's counters. */
export interface WorkerReport {
  readonly stats: SchedulerStats;
  readonly expertLoad: ExpertLoad;
  readonly runnerTimings: RunnerTimings;
  /** Resident memory of the whole process, in bytes. */
  readonly residentBytes: number;
}

export type ToWorker =
  | { readonly type: 'submit'; readonly job: Job }
  | { readonly type: 'cancel'; readonly id: number }
  | { readonly type: 'pause'; readonly id: number; readonly paused: boolean }
  | { readonly type: 'report'; readonly call: number }
  /** Whether `routed` messages are wanted. */
  | { readonly type: 'watch-routing'; readonly on: boolean }
  | { readonly type: 'dispose' };

/** A job's failure on its way out of the worker. */
export type JobFailure =
  | { readonly kind: 'queue-full'; readonly waiting: number }
  | { readonly kind: 'invalid-request'; readonly field: string; readonly found: string; readonly advice: string }
  | { readonly kind: 'error'; readonly error: SerializedError };

/** What one step brought. */
export interface StepMessage {
  readonly type: 'step';
  readonly tokens: TokenList;
  readonly finished: readonly FinishReport[];
  readonly scored: readonly ScoreReport[];
  readonly routing: readonly RoutingReport[];
  readonly failed: readonly { readonly id: number; readonly failure: JobFailure }[];
}

export type FromWorker =
  /** A runner module that tells a fraction is told of in bytes too, with no times. */
  | { readonly type: 'progress'; readonly step: LoadingStep }
  | { readonly type: 'ready'; readonly info: ModelInfo }
  | { readonly type: 'load-failed'; readonly error: SerializedError }
  | { readonly type: 'queued'; readonly id: number }
  | StepMessage
  | { readonly type: 'report'; readonly call: number; readonly report: WorkerReport }
  /** What every layer's router chose in one step, all requests together. */
  | { readonly type: 'routed'; readonly layers: readonly LayerRouting[] }
  | {
      readonly type: 'log';
      readonly level: 'debug' | 'info' | 'warn' | 'error';
      readonly message: string;
      readonly fields: Readonly<Record<string, unknown>> | undefined;
    };
