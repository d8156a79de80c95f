/**
 * Runs GPT-OSS style mixture-of-experts models.
 */

export { collect } from './answer/collect.ts';
export type { TokenConstraint } from './constraint/token-constraint.ts';
export { Engine, type LoadedModel, type TokenizeOptions } from './engine.ts';
export * from './errors.ts';
export type * from './events.ts';
export { type Logger, SILENT_LOGGER } from './logger.ts';
export { DEFAULT_ENGINE_OPTIONS, type EngineOptions, type LoadProgress } from './options.ts';
export type * from './request.ts';
export type { PassedOver } from './runners/first-that-starts.ts';
export type * from './runners/runner.ts';
export type * from './runners/runner-module.ts';
export type * from './runners/logits-runner.ts';
export { DEFAULT_SAMPLING } from './sampling/parameters.ts';
export type { SchedulerStats } from './scheduler/job.ts';
export type { KvPlan } from './scheduler/kv-budget.ts';
export type { ModelInfo, WorkerReport } from './worker/protocol.ts';
