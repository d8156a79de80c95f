export * from './errors.ts';
export type { Logger } from './logger.ts';
export { placeKernelArguments } from './kernels/argument-list.ts';
export type { KernelArgument, KernelArgumentType, PlacedKernelArgument } from './kernels/argument-list.ts';
export type { KernelTarget } from './kernels/kernel-target.ts';
export { argumentWriter } from './kernels/argument-writer.ts';
export type { ArgumentWriter } from './kernels/argument-writer.ts';
