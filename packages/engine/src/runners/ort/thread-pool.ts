/**
 * One pool of threads for all sessions of the process.
 *
 * ONNX Runtime makes a pool for each session by default, and a model has dozens of sessions, one of which computes at a
 * time. It knows one pool for all as well: a process has one environment, which may have been made with a pool, and
 * sessions can be told to use that. onnxruntime-node passes on what sessions are told (`extra.session`), but makes an
 * environment without a pool. The environment is a single one, kept by whoever asks for it first: asked for here, through
 * the C interface of the library that onnxruntime-node has loaded, it has the pool, and onnxruntime-node gets the same.
 *
 * @see OrtEnv::GetOrCreateInstance in onnxruntime/core/session/ort_env.cc of https://github.com/microsoft/onnxruntime
 */

import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import koffi from 'koffi';
import { reasonOf } from '../../contain.ts';

/** Places in the table of the C interface, OrtApi, to which new functions are only ever added at the end. */
const API = {
  getErrorMessage: 2,
  releaseStatus: 93,
  createEnvWithGlobalThreadPools: 119,
  createThreadingOptions: 121,
  releaseThreadingOptions: 122,
  setGlobalIntraOpNumThreads: 147,
  setGlobalInterOpNumThreads: 148,
  setGlobalSpinControl: 149,
} as const;
/** The first version of the interface that has all of these. */
const API_VERSION = 5;
const API_SLOTS = 150;
/** OrtLoggingLevel's warnings, as onnxruntime-node asks for by default. */
const LOG_WARNINGS = 2;
const POINTER_BYTES = 8;

const STATUS_OF_POINTER = koffi.proto('void *', ['void *']);
const STATUS_OF_NUMBER = koffi.proto('void *', ['void *', 'int']);
const NOTHING_OF_POINTER = koffi.proto('void', ['void *']);
const TEXT_OF_POINTER = koffi.proto('const char *', ['void *']);
const API_OF_VERSION = koffi.proto('void *', ['uint32_t']);
/** Of a log level, the environment's name, threading options, and where the environment goes. */
const CREATE_ENVIRONMENT = koffi.proto('void *', ['int', 'const char *', 'void *', 'void *']);

/**
 * Asks for the environment with a pool, before onnxruntime-node asks for one. Where somebody has asked before, this changes
 * nothing, and whether there is a pool shows when a session is to use it. The pool stays until the process ends.
 *
 * @param threads of the pool, the calling one among them.
 * @throws where the library or its interface is not found
 */
export function openSharedPool(threads: number): void {
  const api = new OrtInterface(ortLibraryPath());
  const options = api.createThreadingOptions();
  try {
    api.set('setGlobalIntraOpNumThreads', options, threads);
    // One: operators of a session run one after the other.
    api.set('setGlobalInterOpNumThreads', options, 1);
    // Not busily waiting: how long cannot be told here, and the default is so long that a busy system takes five times the time.
    api.set('setGlobalSpinControl', options, 0);
    api.createEnvironment(options);
  } finally {
    api.releaseThreadingOptions(options);
  }
}

/** The library that onnxruntime-node has loaded. Throws where there is none of a name that it has. */
function ortLibraryPath(): string {
  const entry = createRequire(import.meta.url).resolve('onnxruntime-node');
  const folder = join(dirname(entry), '..', 'bin');
  for (const version of readdirSync(folder)) {
    const place = join(folder, version, process.platform, process.arch);
    const names = namesIn(place).filter((name) =>
      /^(?:lib)?onnxruntime(?:\.\d+)*\.(?:so|dylib|dll)(?:\.\d+)*$/.test(name),
    );
    // Shorter names are links to the others.
    const [name] = names.sort((a, b) => b.length - a.length);
    if (name !== undefined) return join(place, name);
  }
  throw new RangeError(`onnxruntime-node has no library for ${process.platform} ${process.arch} in ${folder}`);
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** The functions of the C interface that make a pool. A status is null, or an error that is thrown. */
class OrtInterface {
  readonly #slots: BigUint64Array;

  constructor(path: string) {
    const base: unknown = koffi.load(path).func('void *OrtGetApiBase()')();
    const [getApi = 0n] = new BigUint64Array(koffi.view(base, POINTER_BYTES));
    const api: unknown = koffi.call(getApi, API_OF_VERSION, API_VERSION);
    if (api === null || api === 0n) throw new RangeError(`${path} has no version ${API_VERSION} of its interface`);
    this.#slots = new BigUint64Array(koffi.view(api, API_SLOTS * POINTER_BYTES).slice(0));
  }

  createThreadingOptions(): bigint {
    const result = new BigUint64Array(1);
    this.#check(koffi.call(this.#slot('createThreadingOptions'), STATUS_OF_POINTER, addressOf(result)));
    return result[0] ?? 0n;
  }

  set(
    name: 'setGlobalIntraOpNumThreads' | 'setGlobalInterOpNumThreads' | 'setGlobalSpinControl',
    options: bigint,
    value: number,
  ): void {
    this.#check(koffi.call(this.#slot(name), STATUS_OF_NUMBER, options, value));
  }

  createEnvironment(options: bigint): void {
    const result = new BigUint64Array(1);
    const call = this.#slot('createEnvWithGlobalThreadPools');
    this.#check(koffi.call(call, CREATE_ENVIRONMENT, LOG_WARNINGS, 'switchyard', options, addressOf(result)));
  }

  releaseThreadingOptions(options: bigint): void {
    koffi.call(this.#slot('releaseThreadingOptions'), NOTHING_OF_POINTER, options);
  }

  #check(status: unknown): void {
    if (status === null || status === 0n) return;
    const message: unknown = koffi.call(this.#slot('getErrorMessage'), TEXT_OF_POINTER, status);
    koffi.call(this.#slot('releaseStatus'), NOTHING_OF_POINTER, status);
    throw new Error(reasonOf(message));
  }

  #slot(name: keyof typeof API): bigint {
    return this.#slots[API[name]] ?? 0n;
  }
}

function addressOf(values: BigUint64Array): bigint {
  return koffi.address(new Uint8Array(values.buffer));
}
