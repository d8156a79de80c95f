/**
 * The native runner's libraries (kernels/native/): which of them this machine runs, and what they export.
 */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { ReadText } from '@switchyard/gpu/environment';
import koffi from 'koffi';
import { reasonOf } from '../../contain.ts';
import { NativeLibraryError } from './errors.ts';
import { processorFeatures } from './processor.ts';

/** One library, as kernels/native/prebuilt/manifest.json lists it. */
export interface LibraryEntry {
  readonly file: string;
  /** As `process.arch` names it. */
  readonly arch: string;
  /** Features of the processor, as /proc/cpuinfo names them. */
  readonly needs: readonly string[];
  readonly sha256: string;
}

/** The address of a model that a library made. */
export type NativeModel = bigint;

/** What a library exports: see kernels/native/step.c. Addresses are those of memory that outlives the model. */
export interface NativeLibrary {
  readonly entry: LibraryEntry;
  /** Null where there is no memory. */
  open(sizes: Int32Array, epsilon: number, limit: number, threads: number, kvBlocks: number): NativeModel | null;
  /** Has mapped bytes that are not in memory yet read into large pages, where the system can. */
  preferLargePages(address: bigint, bytes: number): void;
  setLayer(model: NativeModel, layer: number, pointers: BigUint64Array): void;
  setEnds(model: NativeModel, pointers: BigUint64Array): void;
  /** False where there is no memory. */
  makeRoom(model: NativeModel, rows: number, positions: number): boolean;
  /** On the calling thread. */
  step(model: NativeModel, pass: bigint, layer: number): void;
  /** On another thread. */
  stepApart(model: NativeModel, pass: bigint, layer: number): Promise<void>;
  copyBlock(model: NativeModel, from: number, to: number): void;
  close(model: NativeModel): void;
}

/** What this file and kernels/native/step.c agree on. */
const ABI = 2;
const FOLDER = new URL('../../../kernels/native/prebuilt/', import.meta.url);

/** What a machine is. */
export interface Machine {
  readonly platform: NodeJS.Platform;
  readonly arch: string;
  readonly readText: ReadText;
}

const THIS_MACHINE: Machine = {
  platform: process.platform,
  arch: process.arch,
  readText: (path) => readFileSync(path, 'utf8'),
};

/** The libraries that there are, the best first. */
export function nativeLibraries(): readonly LibraryEntry[] {
  const manifest = JSON.parse(readFileSync(new URL('manifest.json', FOLDER), 'utf8')) as {
    readonly libraries: readonly LibraryEntry[];
  };
  return manifest.libraries;
}

/**
 * The best library that a machine runs.
 *
 * @throws NativeLibraryError
 */
export function chooseLibrary(entries: readonly LibraryEntry[], machine: Machine = THIS_MACHINE): LibraryEntry {
  const { platform, arch, readText } = machine;
  const ofArch = entries.filter((entry) => entry.arch === arch);
  if (platform !== 'linux' || ofArch.length === 0) throw new NativeLibraryError(`${platform}, ${arch}`);
  const features = processorFeatures(readText);
  const fitting = ofArch.find(({ needs }) => needs.every((feature) => features.has(feature)));
  if (fitting !== undefined) return fitting;
  const missing = ofArch.at(-1)?.needs.filter((feature) => !features.has(feature)) ?? [];
  throw new NativeLibraryError(`a processor without ${missing.join(', ')}`);
}

/**
 * Loads a library: it stays loaded until the process ends.
 *
 * @param entry defaults to the best for this machine.
 * @throws NativeLibraryError where there is none, or its file is not the one that was built
 */
export function loadNativeLibrary(entry: LibraryEntry = chooseLibrary(nativeLibraries())): NativeLibrary {
  const path = fileURLToPath(new URL(entry.file, FOLDER));
  try {
    const found = createHash('sha256').update(readFileSync(path)).digest('hex');
    if (found !== entry.sha256) throw new TypeError(`${entry.file} is not the file that the manifest lists`);
    return bind(entry, koffi.load(path));
  } catch (cause) {
    throw new NativeLibraryError(reasonOf(cause), cause);
  }
}

/** A function of a library. Addresses travel as bigint. */
type Bound = (...values: readonly (number | bigint | ArrayBufferView)[]) => number | bigint | null;

function bind(entry: LibraryEntry, library: ReturnType<typeof koffi.load>): NativeLibrary {
  const find = (name: string, result: string, parameters: string[]): Bound => library.func(name, result, parameters);
  const abi = find('native_abi', 'int32_t', [])();
  if (abi !== ABI) throw new TypeError(`${entry.file} has interface ${abi}, this version needs ${ABI}`);
  const open = find('native_open', 'uint64_t', ['void *', 'float', 'float', 'int32_t', 'uint64_t']);
  const mapped = find('native_mapped', 'void', ['uint64_t', 'uint64_t']);
  const layer = find('native_layer', 'void', ['uint64_t', 'int32_t', 'void *']);
  const ends = find('native_ends', 'void', ['uint64_t', 'void *']);
  const room = find('native_room', 'int32_t', ['uint64_t', 'int32_t', 'int32_t']);
  const step = library.func('native_step', 'void', ['uint64_t', 'uint64_t', 'int32_t']);
  const copy = find('native_copy_block', 'void', ['uint64_t', 'uint64_t', 'uint64_t']);
  const close = find('native_close', 'void', ['uint64_t']);
  return {
    entry,
    open(sizes, epsilon, limit, threads, kvBlocks) {
      const model = BigInt(open(sizes, epsilon, limit, threads, kvBlocks) ?? 0);
      return model === 0n ? null : model;
    },
    preferLargePages: (address, bytes) => void mapped(address, bytes),
    setLayer: (model, index, pointers) => void layer(model, index, pointers),
    setEnds: (model, pointers) => void ends(model, pointers),
    makeRoom: (model, rows, positions) => room(model, rows, positions) === 1,
    step: (model, pass, index) => void step(model, pass, index),
    stepApart: (model, pass, index) =>
      new Promise((resolve, reject) => {
        step.async(model, pass, index, (error: Error | null) => {
          if (error === null) resolve();
          else reject(error);
        });
      }),
    copyBlock: (model, from, to) => void copy(model, from, to),
    close: (model) => void close(model),
  };
}
