export { createOrtRunner } from './ort-runner.ts';
export type { OrtRunnerOptions, RunnerLogger } from './ort-runner.ts';
export type { ExpertPrecision } from './expert-form.ts';
