export { createNativeRunner } from './create-native-runner.ts';
export type { NativeCheckpoint, NativeRunnerOptions } from './create-native-runner.ts';
