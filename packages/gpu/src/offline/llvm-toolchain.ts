/** Offline compilation for AMD GPUs with LLVM's own tools: no ROCm, no GPU and no header is needed. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { KernelCompileError } from '../errors.ts';
import { parseKernelNotes } from './disassembly.ts';
import type { KernelResources } from './disassembly.ts';

/** The version whose output is shipped; another one's registers and instruction counts would differ. */
export const LLVM_VERSION = 22;

/** Options that make the bytes of a code object depend on nothing but the source and the compiler. */
const COMPILE_OPTIONS = [
  '-x',
  'hip',
  '--cuda-device-only',
  '--no-gpu-bundle-output',
  '-nogpuinc',
  '-nogpulib',
  '-O3',
  '-std=c++17',
  '-mcode-object-version=5',
  '-fuse-cuid=none',
] as const;

/** What is compiled. */
export interface OfflineRequest {
  /** The whole text; it includes nothing. */
  readonly source: string;
  /** Macros, passed as -Dname=value. */
  readonly defines?: Readonly<Record<string, string | number>>;
  /** Such as `'gfx942'`. */
  readonly architecture: string;
}

/** The installed clang's version line, or null where clang, lld or the binary tools of LLVM_VERSION are missing. */
export function findLlvm(): string | null {
  try {
    for (const tool of [`llvm-readelf-${LLVM_VERSION}`, `llvm-objdump-${LLVM_VERSION}`, `llvm-strip-${LLVM_VERSION}`]) {
      execFileSync(tool, ['--version'], { stdio: 'ignore' });
    }
    execFileSync(`ld.lld-${LLVM_VERSION}`, ['--version'], { stdio: 'ignore' });
    const version = execFileSync(`clang++-${LLVM_VERSION}`, ['--version'], { encoding: 'utf8' });
    return version.split('\n')[0] ?? null;
  } catch {
    return null;
  }
}

/**
 * Compiles to a stripped code object.
 *
 * @throws KernelCompileError with the compiler's words
 */
export function compileOffline({ source, defines = {}, architecture }: OfflineRequest): Uint8Array {
  return inTemporaryFolder((folder) => {
    const input = path.join(folder, 'kernel.hip');
    const output = path.join(folder, 'kernel.hsaco');
    writeFileSync(input, source);
    const macros = Object.entries(defines).map(([name, value]) => `-D${name}=${value}`);
    const options = [...COMPILE_OPTIONS, `--offload-arch=${architecture}`, ...macros, '-o', output, input];
    try {
      execFileSync(`clang++-${LLVM_VERSION}`, options, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
      execFileSync(`llvm-strip-${LLVM_VERSION}`, [output], { stdio: ['ignore', 'ignore', 'pipe'] });
    } catch (error) {
      const log =
        typeof error === 'object' && error !== null && 'stderr' in error ? String(error.stderr) : String(error);
      const message = `clang++-${LLVM_VERSION} could not compile for ${architecture} · ${log.slice(0, 500)} · see the log`;
      throw new KernelCompileError(architecture, log, message, { cause: error });
    }
    return readFileSync(output);
  });
}

/** The resources of each kernel in a code object. */
export function readKernelResources(codeObject: Uint8Array): KernelResources[] {
  return parseKernelNotes(runOn(codeObject, `llvm-readelf-${LLVM_VERSION}`, ['--notes']));
}

/** The text of `llvm-objdump -d`, for `parseDisassembly`. */
export function disassemble(codeObject: Uint8Array): string {
  return runOn(codeObject, `llvm-objdump-${LLVM_VERSION}`, ['-d', '--no-show-raw-insn']);
}

function runOn(codeObject: Uint8Array, tool: string, options: readonly string[]): string {
  return inTemporaryFolder((folder) => {
    const file = path.join(folder, 'kernel.hsaco');
    writeFileSync(file, codeObject);
    return execFileSync(tool, [...options, file], { encoding: 'utf8', maxBuffer: 256 * 2 ** 20 });
  });
}

function inTemporaryFolder<Result>(work: (folder: string) => Result): Result {
  const folder = mkdtempSync(path.join(tmpdir(), 'kernel-'));
  try {
    return work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
