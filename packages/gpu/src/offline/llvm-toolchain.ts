/** Offline compilation for AMD GPUs with LLVM's own tools: no ROCm, no GPU and no header is needed. */

import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
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

/** The options that say how to compile, without those that say what. */
function targetOptions(architecture: string): string[] {
  // ROCm before 6.4 knows neither version 6 nor generic processors.
  const version = `-mcode-object-version=${isGeneric(withoutFeatures(architecture)) ? 6 : 5}`;
  return [...COMPILE_OPTIONS, version, `--offload-arch=${architecture}`];
}

function macroOptions({ defines = {} }: OfflineRequest): string[] {
  return Object.entries(defines).map(([name, value]) => `-D${name}=${value}`);
}

function compilerArguments(request: OfflineRequest): string[] {
  return [...targetOptions(request.architecture), ...macroOptions(request), '-o', OUTPUT, INPUT];
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
export function compileAllOffline(requests: readonly OfflineRequest[]): Promise<readonly Uint8Array[]> {
  return forAll(requests, (request) =>
    inFolder(request, async (folder) => {
      await execute(COMPILER, compilerArguments(request), { cwd: folder });
      await execute(STRIP, [OUTPUT], { cwd: folder });
      return readFile(path.join(folder, OUTPUT));
    }),
  );
}

/**
 * What the bytes of each object follow from: SHA-256 in hex of compiler, options, and the text after the preprocessor, in
 * which comments and branches that are not taken are gone, and white space is one blank. A tenth of a second each.
 *
 * @throws KernelCompileError, also where LLVM is not installed
 */
export async function identifyAllOffline(requests: readonly OfflineRequest[]): Promise<readonly string[]> {
  const compiler = requireLlvm();
  return forAll(requests, (request) =>
    inFolder(request, async (folder) => {
      const options = targetOptions(request.architecture);
      const preprocess = [...options, ...macroOptions(request), '-E', '-P', '-o', OUTPUT, INPUT];
      await execute(COMPILER, preprocess, { cwd: folder });
      const text = (await readFile(path.join(folder, OUTPUT), 'latin1')).replaceAll(/\s+/g, ' ');
      const hash = createHash('sha256').update(JSON.stringify([compiler, ...options]));
      return hash.update(text, 'latin1').digest('hex');
    }),
  );
}

/** The installed clang's version line. @throws KernelCompileError where LLVM is not installed */
export function requireLlvm(): string {
  const compiler = findLlvm();
  if (compiler !== null) return compiler;
  const message = `LLVM ${LLVM_VERSION} was not found · install clang-${LLVM_VERSION}, lld-${LLVM_VERSION} and llvm-${LLVM_VERSION}`;
  throw new KernelCompileError('amdgcn', '', message);
}

/** Results in the order given, as many at a time as the process may run threads. */
async function forAll<Result>(
  requests: readonly OfflineRequest[],
  work: (request: OfflineRequest) => Promise<Result>,
): Promise<readonly Result[]> {
  const results: Result[] = [];
  const waiting = requests.entries();
  const worker = async (): Promise<void> => {
    for (const [index, request] of waiting) results[index] = await work(request);
  };
  await Promise.all(Array.from({ length: usableProcessors().threads }, worker));
  return results;
}

const execute = promisify(execFile);

/** Works in a folder that holds the source. */
async function inFolder<Result>(
  { source, architecture }: OfflineRequest,
  work: (folder: string) => Promise<Result>,
): Promise<Result> {
  const folder = await mkdtemp(path.join(tmpdir(), 'kernel-'));
  try {
    await writeFile(path.join(folder, INPUT), source);
    return await work(folder);
  } catch (error) {
    throw compileError(architecture, error);
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
