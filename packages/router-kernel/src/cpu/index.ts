export { CpuRouter, createCpuRouter } from './cpu-router.ts';
export type { RouterOutputArrays } from './cpu-router.ts';
