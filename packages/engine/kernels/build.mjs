/**
 * Compiles kernels/*.c to WebAssembly with LLVM 22: `node kernels/build.mjs`, wherever clang-22 and wasm-ld-22 are
 * installed. The same sources give the same bytes on every machine; a test compares them with the committed ones.
 */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FOLDER = new URL('.', import.meta.url);
const COMPILE = [
  '--target=wasm32',
  '-O2',
  '-msimd128',
  '-nostdlib',
  '-ffreestanding',
  '-Wall',
  '-Wextra',
  '-Werror',
  '-c',
];
const LINK = ['--no-entry', '--import-memory', '--strip-all', '-z', 'stack-size=4096'];

/** The WebAssembly module of `kernels/NAME.c`, compiled now. Throws where a tool is missing (ENOENT) or fails. */
export function buildKernel(name) {
  const folder = mkdtempSync(join(tmpdir(), 'switchyard-kernel-'));
  try {
    const [object, module] = [join(folder, 'kernel.o'), join(folder, 'kernel.wasm')];
    execFileSync('clang-22', [...COMPILE, `${name}.c`, '-o', object], { cwd: fileURLToPath(FOLDER) });
    execFileSync('wasm-ld-22', [...LINK, object, '-o', module]);
    return readFileSync(module);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const name of ['mxfp4_experts', 'convert_weights']) {
    const module = buildKernel(name);
    writeFileSync(new URL(`${name}.wasm`, FOLDER), module);
    console.log(`${name}.wasm: ${module.length} bytes`);
  }
}
