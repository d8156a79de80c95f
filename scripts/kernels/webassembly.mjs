/** Kernels for the CPU, in C, as WebAssembly. The same sources give the same bytes on every machine with LLVM 22. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { inRoot } from './artefacts.mjs';
import { missingOf } from './tools.mjs';

/** Every .c file in and below it becomes a .wasm file beside it. */
const FOLDER = 'packages/engine/kernels/cpu';
const [CLANG, LINKER] = ['clang-22', 'wasm-ld-22'];
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

/** @type {import('./artefacts.mjs').KernelBuild} */
export const WEBASSEMBLY = {
  name: 'webassembly',
  missing: () => missingOf([CLANG, LINKER]),
  build: async () =>
    readdirSync(inRoot(FOLDER), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.c'))
      .map((name) => join(inRoot(FOLDER), name))
      .sort((a, b) => a.localeCompare(b))
      .map((source) => ({ path: source.replace(/\.c$/, '.wasm'), bytes: compileWebAssembly(source) })),
};

/** The WebAssembly module of a .c file. Throws where a tool is missing (ENOENT) or fails. */
export function compileWebAssembly(source) {
  const folder = mkdtempSync(join(tmpdir(), 'switchyard-kernel-'));
  try {
    const [object, module] = [join(folder, 'kernel.o'), join(folder, 'kernel.wasm')];
    // From the source's folder, so that its path is in no byte of the object.
    execFileSync(CLANG, [...COMPILE, basename(source), '-o', object], { cwd: dirname(source) });
    execFileSync(LINKER, [...LINK, object, '-o', module]);
    return readFileSync(module);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
