/** What tests of kernels need: the lockstep emulation of AMD waves on the CPU. */

export { HOST_COMPILER, hasHostCompiler, isTailPoisoned, KernelEmulator, poison } from './kernel-emulator.ts';
export type { EmulatedKernel, EmulatedLaunch, EmulatedValue } from './kernel-emulator.ts';
