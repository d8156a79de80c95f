export { createOrtRunner } from './ort-runner.ts';
export type { OrtRunnerOptions } from './ort-runner.ts';
