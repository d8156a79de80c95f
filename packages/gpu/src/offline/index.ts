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
  identifyAllOffline,
  LLVM_VERSION,
  readKernelResources,
  requireLlvm,
} from './llvm-toolchain.ts';
export type { OfflineRequest } from './llvm-toolchain.ts';
export { buildArchives, describeKernels, readBuild } from './build-archives.ts';
export type { ArchiveBuild, BuildOptions } from './build-archives.ts';
export { manifestText, requestHash, staleObjects } from './object-manifest.ts';
export type {
  ArchiveRequest,
  DescribedArchive,
  DescribedKernel,
  DescribedObject,
  ObjectManifest,
  ObjectRequest,
} from './object-manifest.ts';
