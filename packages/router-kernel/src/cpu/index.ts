export { CpuRouter, createCpuRouter } from './cpu-router.ts';
export type { RouterOutputArrays } from './cpu-router.ts';
export { CpuGatedRouter, createCpuGatedRouter } from './cpu-gated-router.ts';
