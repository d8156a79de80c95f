/** What tests of kernels need: the lockstep emulation of AMD waves on the CPU, a kernel at a time or as a whole device. */

export { emulatedGpu } from './emulated-gpu.ts';
export type { EmulatedGpu, EmulatedGpuOptions } from './emulated-gpu.ts';
export { HOST_COMPILER, hasHostCompiler, isTailPoisoned, KernelEmulator, poison } from './kernel-emulator.ts';
export type { EmulatedKernel, EmulatedLaunch, EmulatedValue, PackedEmulatedKernel } from './kernel-emulator.ts';
