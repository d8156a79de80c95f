export { createOrtRunner } from './ort-runner.ts';
export type { OrtRunnerOptions } from './ort-runner.ts';
export type { RunnerLogger } from './runner-logger.ts';
export type { ExpertPrecision } from './expert-form.ts';
