/** hipRTC and NVRTC, which differ in names, in the option for the architecture, and in how they refuse one. */

import { KernelCompileError } from '../errors.ts';
import { withoutFeatures } from '../driver/architectures.ts';
import { DriverTooOldError, GpuLibraryNotFoundError, UnknownArchitectureError } from '../driver/errors.ts';
import type { CompileRequest, KernelCompiler } from './kernel-compiler.ts';
import { rocmCandidates, type SearchedMachine, thisMachine } from '../driver/library-search.ts';
import { environmentVariables } from '../environment.ts';
import { listKnownArchitectures } from './comgr.ts';
import { addressOf, NativeMemory, textAt } from '../driver/native-memory.ts';
import {
  bindAll,
  type FunctionShape,
  type LibraryLoader,
  loadFirst,
  loadSharedLibrary,
  type SharedLibrary,
  useFirst,
} from '../driver/shared-library.ts';

type CompilerCall = 'version' | 'create' | 'compile' | 'logSize' | 'log' | 'codeSize' | 'code' | 'destroy';

interface Dialect {
  readonly title: string;
  readonly advice: string;
  readonly calls: Readonly<Record<CompilerCall, FunctionShape>>;
  readonly architectureOption: string;
  /** What the compiler calls an architecture. Defaults to its name. */
  compiledFor?(architecture: string): string;
  /** Throws UnknownArchitectureError where compiling would do worse than fail. */
  refuseUnknown(architecture: string): void;
}

/** NVRTC and hipRTC both answer an option that they do not take with this status. */
const STATUS_INVALID_OPTION = 5;

function dialectCalls(prefix: 'hiprtc' | 'nvrtc', code: string): Dialect['calls'] {
  return {
    version: { names: [`${prefix}Version`], parameters: ['void *', 'void *'] },
    create: {
      names: [`${prefix}CreateProgram`],
      parameters: ['void *', 'const char *', 'const char *', 'int', 'void *', 'void *'],
    },
    compile: { names: [`${prefix}CompileProgram`], parameters: ['void *', 'int', 'void *'] },
    logSize: { names: [`${prefix}GetProgramLogSize`], parameters: ['void *', 'void *'] },
    log: { names: [`${prefix}GetProgramLog`], parameters: ['void *', 'void *'] },
    codeSize: { names: [`${prefix}Get${code}Size`], parameters: ['void *', 'void *'] },
    code: { names: [`${prefix}Get${code}`], parameters: ['void *', 'void *'] },
    destroy: { names: [`${prefix}DestroyProgram`], parameters: ['void *'] },
  };
}

/**
 * Finds hipRTC: libhiprtc of ROCm 6 and 7, or the functions inside libamdhip64 of ROCm 5. One that does not start is
 * passed over.
 *
 * @param options.beside the runtime that its code is for: a hipRTC of the same installation goes first
 * @throws GpuLibraryNotFoundError naming what was tried, and what a library that loaded lacks
 */
export function openHiprtc(
  loader: LibraryLoader = loadSharedLibrary,
  { beside, machine = thisMachine() }: { readonly beside?: string; readonly machine?: SearchedMachine } = {},
): KernelCompiler {
  const open = (library: SharedLibrary): KernelCompiler => hiprtcIn(library, loader, machine);
  const own = rocmCandidates('hiprtc', machine, beside);
  const candidates = [...own, ...rocmCandidates('amdhip64', machine, beside)];
  return useFirst(loader, candidates, open, ({ notLoaded, refusals }) => {
    const tried = [...notLoaded, ...refusals.map(({ message }) => message)];
    return new GpuLibraryNotFoundError('hipRTC', tried, HIPRTC_ADVICE);
  });
}

const HIPRTC_ADVICE = 'install ROCm 5.2 or newer (hipRTC), or use a shape that has an ahead-of-time object';

function hiprtcIn(library: SharedLibrary, loader: LibraryLoader, machine: SearchedMachine): KernelCompiler {
  let known: readonly string[] | null | undefined;
  return new RuntimeCompiler(library, {
    title: 'hipRTC',
    advice: HIPRTC_ADVICE,
    calls: dialectCalls('hiprtc', 'Code'),
    architectureOption: '--offload-arch=',
    // Compiling for an architecture that its LLVM does not know ends the process, so the code-object manager is
    // asked first.
    refuseUnknown(architecture) {
      known ??= listKnownArchitectures(loader, { beside: library.path, machine });
      if (known !== null && !known.includes(withoutFeatures(architecture))) {
        throw new UnknownArchitectureError(architecture, `hipRTC (${library.path})`, known);
      }
    },
  });
}

/** Names of NVRTC, newest first, then the places that CUDA installs to; SWITCHYARD_NVRTC names a file and goes first. */
export function nvrtcCandidates(environment: NodeJS.ProcessEnv = environmentVariables()): readonly string[] {
  const names = ['libnvrtc.so.13', 'libnvrtc.so.12', 'libnvrtc.so'];
  const roots = [environment['CUDA_PATH'], environment['CUDA_HOME'], '/usr/local/cuda'];
  const folders = roots.filter((root) => root !== undefined && root !== '').map((root) => `${root}/lib64`);
  const own = environment['SWITCHYARD_NVRTC'];
  return [
    ...(own === undefined || own === '' ? [] : [own]),
    ...names,
    ...folders.flatMap((folder) => names.map((name) => `${folder}/${name}`)),
  ];
}

/**
 * Finds NVRTC.
 *
 * @throws GpuLibraryNotFoundError, DriverTooOldError
 */
export function openNvrtc(loader: LibraryLoader = loadSharedLibrary): KernelCompiler {
  const advice = 'install the CUDA 12 or 13 NVRTC library, or set SWITCHYARD_NVRTC to the path of libnvrtc.so';
  return new RuntimeCompiler(loadFirst(loader, 'NVRTC', nvrtcCandidates(), advice), {
    title: 'NVRTC',
    advice,
    calls: dialectCalls('nvrtc', 'CUBIN'),
    architectureOption: '--gpu-architecture=',
    // With the instructions that no later architecture has: what is compiled here runs on this device.
    compiledFor: (architecture) => (architecture === 'sm_90' ? 'sm_90a' : architecture),
    refuseUnknown() {},
  });
}

class RuntimeCompiler implements KernelCompiler {
  readonly version: string;
  readonly #dialect: Dialect;
  readonly #calls: Record<CompilerCall, (...args: readonly (number | bigint | string | null)[]) => number>;
  readonly #out = new NativeMemory(16);

  constructor(library: SharedLibrary, dialect: Dialect) {
    this.#dialect = dialect;
    this.#calls = bindAll(library, dialect.calls, dialect.advice);
    if (this.#calls.version(this.#out.address, this.#out.address + 8n) !== 0) {
      throw new DriverTooOldError(library.path, [`${dialect.title} version`], dialect.advice);
    }
    const [major, minor] = [this.#out.view.getInt32(0, true), this.#out.view.getInt32(8, true)];
    // hipRTC of ROCm 5 always says 9.0; the runtime that it lives in knows better.
    const runtime = library.find('hipRuntimeGetVersion', 'int', ['void *']);
    const build = runtime !== null && runtime(this.#out.address) === 0 ? ` (${this.#out.view.getInt32(0, true)})` : '';
    this.version = `${dialect.title} ${major}.${minor}${build}`;
  }

  options(request: CompileRequest): readonly string[] {
    const defines = Object.entries(request.defines).map(([name, value]) => `-D${name}=${value}`);
    const architecture = this.#dialect.compiledFor?.(request.architecture) ?? request.architecture;
    return [`${this.#dialect.architectureOption}${architecture}`, '--std=c++17', ...defines];
  }

  compile(request: CompileRequest): Uint8Array {
    this.#dialect.refuseUnknown(request.architecture);
    const created = this.#calls.create(this.#out.address, request.source, request.name, 0, 0n, 0n);
    if (created !== 0) throw this.#failure(request, created, '');
    const program = this.#out.view.getBigUint64(0, true);
    try {
      const options = new StringList(this.options(request));
      const status = this.#calls.compile(program, options.length, options.address);
      if (status !== 0) throw this.#failure(request, status, this.#readLog(program));
      return this.#readCode(program, request);
    } finally {
      this.#out.view.setBigUint64(0, program, true);
      this.#calls.destroy(this.#out.address);
    }
  }

  #readCode(program: bigint, request: CompileRequest): Uint8Array {
    const sized = this.#calls.codeSize(program, this.#out.address);
    const bytes = Number(this.#out.view.getBigUint64(0, true));
    if (sized !== 0 || bytes === 0) throw this.#failure(request, sized, 'no code came out');
    const code = new NativeMemory(bytes);
    const status = this.#calls.code(program, code.address);
    if (status !== 0) throw this.#failure(request, status, '');
    return new Uint8Array(code.view.buffer, 0, bytes);
  }

  #readLog(program: bigint): string {
    if (this.#calls.logSize(program, this.#out.address) !== 0) return '';
    const bytes = Number(this.#out.view.getBigUint64(0, true));
    if (bytes <= 1) return '';
    const log = new NativeMemory(bytes + 1);
    return this.#calls.log(program, log.address) === 0 ? textAt(log.address).trim() : '';
  }

  #failure(request: CompileRequest, status: number, log: string): Error {
    if (status === STATUS_INVALID_OPTION && /arch/i.test(log)) {
      return new UnknownArchitectureError(request.architecture, `${this.version} (${log})`, []);
    }
    const message =
      `${this.version} could not compile ${request.name} for ${request.architecture} · status ${status} · ` +
      (log === '' ? 'the compiler left no log' : log);
    return new KernelCompileError(request.architecture, log, message);
  }
}

/** A `const char **`. */
class StringList {
  readonly length: number;
  readonly address: bigint;
  readonly #pointers: NativeMemory;
  readonly #texts: readonly Uint8Array[];

  constructor(texts: readonly string[]) {
    this.length = texts.length;
    this.#texts = texts.map((text) => new TextEncoder().encode(`${text}\0`));
    this.#pointers = new NativeMemory(texts.length * 8);
    for (const [index, text] of this.#texts.entries()) {
      this.#pointers.view.setBigUint64(index * 8, addressOf(text), true);
    }
    this.address = this.#pointers.address;
  }
}
