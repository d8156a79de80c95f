/**
 * Runs AMD kernels on the CPU: clang compiles the kernel source for the host, with the instructions that only a GPU has
 * replaced by lockstep.hpp. It shows that a source computes what it should with AMD's lane exchanges and wave sizes; it
 * says nothing of the GPU compiler or of speed.
 */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';
import type { KernelArgument } from '../kernels/argument-list.ts';
import type { KernelUnit } from '../kernels/kernel-library.ts';
import type { KernelTarget } from '../kernels/kernel-target.ts';

/** The compiler that kernels are compiled for the host with. */
export const HOST_COMPILER = 'clang++-22';

/** Whether the host compiler is there; tests that need it skip where it is not. */
export function hasHostCompiler(): boolean {
  try {
    execFileSync(HOST_COMPILER, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

let knownVersion: string | undefined;

function compilerVersion(): string {
  knownVersion ??= execFileSync(HOST_COMPILER, ['--version'], { encoding: 'utf8' });
  return knownVersion;
}

/** A kernel argument on the host: an array where the kernel takes a pointer, null for a null pointer. */
export type EmulatedValue = ArrayBufferView | number | bigint | null;
/** Runs a grid of blocks, one after the other, and returns when all are done. */
export type EmulatedKernel = (blocks: number, ...values: EmulatedValue[]) => void;

/** Runs a grid with its arguments packed as a device would find them, at an address of host memory. */
export type PackedEmulatedKernel = (blocks: number, argumentBlock: bigint) => void;

/** What is emulated. */
export interface EmulatedLaunch {
  readonly unit: KernelUnit;
  /** The kernel's name in the unit, with its namespace: `'router::topk_gating_softmax'`. */
  readonly symbol: string;
  readonly arguments: readonly KernelArgument[];
  /** Threads of a block. */
  readonly threadsPerBlock: number;
}

const CPP_TYPES = {
  pointer: (name: string) => `void* ${name}`,
  u32: (name: string) => `unsigned ${name}`,
  i64: (name: string) => `long long ${name}`,
  f32: (name: string) => `float ${name}`,
};
const KOFFI_TYPES = { pointer: 'void *', u32: 'uint32_t', i64: 'int64_t', f32: 'float' };
/** From dist/ as from src/: C++ is not copied. */
const LOCKSTEP = fileURLToPath(new URL('../../src/testing/lockstep.hpp', import.meta.url));

/**
 * Compiles kernels for one kind of AMD GPU. Objects are kept in a folder until `dispose`; where the environment variable
 * SWITCHYARD_EMULATED_KERNELS names a folder, they stay there, and are found again until source or compiler change.
 */
export class KernelEmulator {
  readonly target: KernelTarget;
  readonly #lastingFolder = process.env['SWITCHYARD_EMULATED_KERNELS'];
  readonly #folder = this.#lastingFolder ?? mkdtempSync(path.join(tmpdir(), 'kernel-emulation-'));
  readonly #kernels = new Map<string, EmulatedKernel>();

  constructor(target: KernelTarget) {
    this.target = target;
  }

  /** Compiles a kernel, or finds it again. Throws what the compiler's process throws. */
  load({ unit, symbol, arguments: list, threadsPerBlock }: EmulatedLaunch): EmulatedKernel {
    const name = `${symbol} ${threadsPerBlock} ${JSON.stringify(unit.defines)}`;
    const known = this.#kernels.get(name);
    if (known !== undefined) return known;
    const parameters = list.map(({ name, type }) => CPP_TYPES[type](name)).join(', ');
    const values = list.map(({ name, type }) => (type === 'pointer' ? `Pointer{${name}}` : name)).join(', ');
    const text = [
      unit.source(),
      'struct Pointer { void* address; template <class T> operator T*() const { return static_cast<T*>(address); } };',
      `extern "C" void emulate(unsigned emulatedBlocks, ${parameters}) {`,
      `  lockstep::launch(emulatedBlocks, ${threadsPerBlock}, [=] { ${symbol}(${values}); });`,
      '}',
    ].join('\n');
    const library = this.#compile(text, unit.defines);
    const types = list.map(({ type }) => KOFFI_TYPES[type]);
    const kernel: EmulatedKernel = koffi.load(library).func('emulate', 'void', ['uint32_t', ...types]);
    this.#kernels.set(name, kernel);
    return kernel;
  }

  /** As `load`, for arguments that are packed already: their types are those of the kernel's own parameters. */
  loadPacked({ unit, symbol, threadsPerBlock }: Omit<EmulatedLaunch, 'arguments'>): PackedEmulatedKernel {
    const text = [
      unit.source(),
      '#include <cstring>',
      '#include <tuple>',
      'struct Block {',
      '  const char* bytes;',
      '  unsigned at;',
      '  template <class T> T next() {',
      '    at = (at + alignof(T) - 1) / alignof(T) * alignof(T);',
      '    T value;',
      '    std::memcpy(&value, bytes + at, sizeof(T));',
      '    at += sizeof(T);',
      '    return value;',
      '  }',
      '};',
      'template <class... Types> void call(void (*kernel)(Types...), const void* bytes) {',
      '  Block block{static_cast<const char*>(bytes), 0};',
      '  std::tuple<Types...> values{block.next<Types>()...};',
      '  std::apply(kernel, values);',
      '}',
      'extern "C" void emulate(unsigned emulatedBlocks, const void* argumentBlock) {',
      `  lockstep::launch(emulatedBlocks, ${threadsPerBlock}, [=] { call(${symbol}, argumentBlock); });`,
      '}',
    ].join('\n');
    const library = this.#compile(text, unit.defines);
    return koffi.load(library).func('emulate', 'void', ['uint32_t', 'void *']);
  }

  /** Removes the objects, unless they last. Loaded kernels stay in the process. */
  dispose(): void {
    if (this.#lastingFolder === undefined) rmSync(this.#folder, { recursive: true, force: true });
  }

  #compile(text: string, macros: KernelUnit['defines']): string {
    const defines = Object.entries(macros).map(([name, value]) => `-D${name}=${value}`);
    const options = [
      '-x',
      'c++',
      '-std=c++17',
      '-O1',
      '-fPIC',
      '-shared',
      // As HIP's compilers do it: products are fused with sums wherever a pragma does not forbid it.
      '-ffp-contract=fast-honor-pragmas',
      '-Wno-everything',
      '-march=x86-64-v3',
      `-DEMULATED_WAVE_SIZE=${this.target.waveSize}`,
      ...architectureMacros(this.target.architecture).map((macro) => `-D${macro}`),
      ...defines,
      '-include',
      LOCKSTEP,
    ];
    const inputs = [text, readFileSync(LOCKSTEP, 'utf8'), compilerVersion(), options.join(' ')];
    const hash = createHash('sha256').update(inputs.join('\0')).digest('hex').slice(0, 32);
    const library = path.join(this.#folder, `${hash}.so`);
    if (existsSync(library)) {
      // Whoever cleans the folder sees what is in use.
      utimesSync(library, new Date(), new Date());
      return library;
    }
    mkdirSync(this.#folder, { recursive: true });
    // Several processes may compile the same kernel at once.
    const own = path.join(this.#folder, `${hash}-${process.pid}`);
    writeFileSync(`${own}.cpp`, text);
    execFileSync(HOST_COMPILER, [...options, '-o', `${own}.so`, `${own}.cpp`], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    rmSync(`${own}.cpp`);
    renameSync(`${own}.so`, library);
    return library;
  }
}

/** What a compiler for an AMD processor says of it: the processor, and its generation, `__gfx1201__` and `__GFX12__`. */
function architectureMacros(architecture: string): readonly string[] {
  const generation = /^gfx(\d+)[\da-f]{2}$/.exec(architecture)?.[1];
  return [`__${architecture}__`, ...(generation === undefined ? [] : [`__GFX${generation}__`])];
}

const GUARD_BYTE = 0xa5;

/** Fills an output with a byte that kernels do not write by chance. */
export function poison<Elements extends ArrayBufferView>(elements: Elements): Elements {
  new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength).fill(GUARD_BYTE);
  return elements;
}

/** Whether the last `bytes` bytes of an output are as `poison` left them. */
export function isTailPoisoned(elements: ArrayBufferView, bytes: number): boolean {
  const all = new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength);
  return all.subarray(all.length - bytes).every((byte) => byte === GUARD_BYTE);
}
