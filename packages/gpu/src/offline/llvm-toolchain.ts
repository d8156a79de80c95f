/** Offline compilation for AMD GPUs with LLVM's own tools: no ROCm, no GPU and no header is needed. */

import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { isGeneric, withoutFeatures } from '../driver/architectures.ts';
import { KernelCompileError } from '../errors.ts';
import { usableProcessors } from '../processors.ts';
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
  '-fuse-cuid=none',
] as const;

/** What is compiled. */
export interface OfflineRequest {
  /** The whole text; it includes nothing. */
  readonly source: string;
  /** Macros, passed as -Dname=value. */
  readonly defines?: Readonly<Record<string, string | number>>;
  /** Such as `'gfx942'`, or one of LLVM's generic processors, such as `'gfx11-generic'`. */
  readonly architecture: string;
}

const COMPILER = `clang++-${LLVM_VERSION}`;
const STRIP = `llvm-strip-${LLVM_VERSION}`;
const [INPUT, OUTPUT] = ['kernel.hip', 'kernel.hsaco'];

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

function compilerArguments({ defines = {}, architecture }: OfflineRequest): string[] {
  const macros = Object.entries(defines).map(([name, value]) => `-D${name}=${value}`);
  // ROCm before 6.4 knows neither version 6 nor generic processors.
  const version = `-mcode-object-version=${isGeneric(withoutFeatures(architecture)) ? 6 : 5}`;
  return [...COMPILE_OPTIONS, version, `--offload-arch=${architecture}`, ...macros, '-o', OUTPUT, INPUT];
}

function compileError(architecture: string, error: unknown): KernelCompileError {
  const log = typeof error === 'object' && error !== null && 'stderr' in error ? String(error.stderr) : String(error);
  const message = `${COMPILER} could not compile for ${architecture} · ${log.slice(0, 500)} · see the log`;
  return new KernelCompileError(architecture, log, message, { cause: error });
}

/**
 * Compiles to a stripped code object.
 *
 * @throws KernelCompileError with the compiler's words
 */
export function compileOffline(request: OfflineRequest): Uint8Array {
  return inTemporaryFolder((folder) => {
    writeFileSync(path.join(folder, INPUT), request.source);
    try {
      execFileSync(COMPILER, compilerArguments(request), { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
      execFileSync(STRIP, [OUTPUT], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
    } catch (error) {
      throw compileError(request.architecture, error);
    }
    return readFileSync(path.join(folder, OUTPUT));
  });
}

/**
 * Compiles several to stripped code objects, in the order given, as many at a time as the process may run threads.
 *
 * @throws KernelCompileError with the compiler's words
 */
export async function compileAllOffline(requests: readonly OfflineRequest[]): Promise<readonly Uint8Array[]> {
  const objects: Uint8Array[] = [];
  const waiting = requests.entries();
  const work = async (): Promise<void> => {
    for (const [index, request] of waiting) objects[index] = await compileInFolder(request);
  };
  await Promise.all(Array.from({ length: usableProcessors().threads }, work));
  return objects;
}

const execute = promisify(execFile);

async function compileInFolder(request: OfflineRequest): Promise<Uint8Array> {
  const folder = await mkdtemp(path.join(tmpdir(), 'kernel-'));
  try {
    await writeFile(path.join(folder, INPUT), request.source);
    await execute(COMPILER, compilerArguments(request), { cwd: folder });
    await execute(STRIP, [OUTPUT], { cwd: folder });
    return await readFile(path.join(folder, OUTPUT));
  } catch (error) {
    throw compileError(request.architecture, error);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
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
