/** Compiling for AMD GPUs where there is none, and reading what came out. */

export {
  instructionMix,
  parseDisassembly,
  parseKernelNotes,
  parseListing,
  productsFusedWithLoads,
} from './disassembly.ts';
export type { Instruction, InstructionMix, KernelResources } from './disassembly.ts';
export {
  compileAllOffline,
  compileOffline,
  disassemble,
  findLlvm,
  LLVM_VERSION,
  readKernelResources,
} from './llvm-toolchain.ts';
export type { OfflineRequest } from './llvm-toolchain.ts';
