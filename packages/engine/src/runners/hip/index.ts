export { createHipRunner, createSyntheticHipRunner } from './create-hip-runner.ts';
export type { HipRunnerOptions, SyntheticHipRunnerOptions } from './create-hip-runner.ts';
export { measureReadBandwidth } from './read-bandwidth.ts';
