/** Mocha hooks that skip, and say why, where a tool is not installed. */

import { findLlvm, LLVM_VERSION } from '../../src/offline/llvm-toolchain.ts';
import { hasHostCompiler, HOST_COMPILER } from '../../src/testing/index.ts';

/** For tests that run kernels in the lockstep emulation. */
export function skipWithoutHostCompiler(this: Mocha.Context): void {
  if (!hasHostCompiler()) skip(this, HOST_COMPILER);
}

/** For tests that compile kernels for AMD's GPUs, or read the code. */
export function skipWithoutLlvm(this: Mocha.Context): void {
  if (findLlvm() === null) skip(this, `LLVM ${LLVM_VERSION}`);
}

function skip(context: Mocha.Context, tool: string): void {
  console.log(`    skipped: ${tool} is not installed`);
  context.skip();
}
