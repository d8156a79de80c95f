/** Machines without a GPU, for tests of what is found on them: files, environment, and runtimes that list GPUs. */

import type { SearchedMachine } from '../../src/driver/library-search.ts';
import { addressOf, viewOf } from '../../src/driver/native-memory.ts';
import type { LibraryLoader, NativeArgument, NativeFunction } from '../../src/driver/shared-library.ts';

type Functions = Readonly<Record<string, NativeFunction>>;

/** Loads the named libraries only, whose functions are those given; of `'any function gives 0'` it has all. */
export function loaderOf(libraries: Readonly<Record<string, Functions | 'any function gives 0'>>): LibraryLoader {
  return (path) => {
    const functions = libraries[path];
    if (functions === undefined) throw new Error('no such file');
    const find = (symbol: string): NativeFunction | null =>
      functions === 'any function gives 0' ? () => 0 : (functions[symbol] ?? null);
    return { path, find };
  };
}

/** A machine with these files (links as `[path, target]`) and environment, and nothing else. */
export function machineOf(
  files: readonly (string | readonly [link: string, target: string])[] = [],
  environment: NodeJS.ProcessEnv = {},
): SearchedMachine {
  const links = new Map(files.map((file) => (typeof file === 'string' ? [file, file] : file)));
  const paths = [...links.keys()];
  return {
    environment,
    home: '/home/user',
    realPath: (file) => links.get(file) ?? file,
    list: (folder) => {
      const inside = paths.filter((path) => path.startsWith(`${folder}/`));
      return [...new Set(inside.map((path) => path.slice(folder.length + 1).split('/')[0] ?? ''))];
    },
  };
}

/** A GPU that a paper runtime lists. */
export interface PaperGpu {
  readonly name: string;
  /** `'gfx90a:sramecc+:xnack-'` as HIP reports it; `'sm_90'` for CUDA. */
  readonly architecture: string;
  readonly isIntegrated?: boolean;
  readonly memoryBytes?: number;
}

function writeInt32(address: NativeArgument | undefined, value: number): number {
  new DataView(viewOf(address as bigint, 4)).setInt32(0, value, true);
  return 0;
}

function writeUint64(address: NativeArgument | undefined, value: number): number {
  new DataView(viewOf(address as bigint, 8)).setBigUint64(0, BigInt(value), true);
  return 0;
}

function writeText(address: NativeArgument | undefined, offset: number, text: string): void {
  new Uint8Array(viewOf(address as bigint, offset + text.length + 1)).set(Buffer.from(`${text}\0`, 'latin1'), offset);
}

/** Functions that are not named answer 0. */
function withDefaults(functions: Functions): Functions {
  return new Proxy(functions, { get: (target, name) => target[String(name)] ?? (() => 0) });
}

/** libamdhip64 with these GPUs. `opened` hears which are made current. */
export function paperHip(gpus: readonly PaperGpu[], opened: number[] = []): Functions {
  return withDefaults({
    hipGetDeviceCount: (out) => writeInt32(out, gpus.length),
    hipSetDevice: (index) => {
      opened.push(Number(index));
      return 0;
    },
    hipGetDevicePropertiesR0600: (properties, index) => {
      const gpu = gpus[Number(index)];
      if (gpu === undefined) return 101;
      writeText(properties, 0, gpu.name);
      writeText(properties, 1160, gpu.architecture);
      return 0;
    },
    hipDeviceGetAttribute: (out, attribute, index) => {
      const gpu = gpus[Number(index)];
      if (attribute === 16) return writeInt32(out, Number(gpu?.isIntegrated ?? false));
      return writeInt32(out, attribute === 74 ? 65_536 : 0);
    },
    hipDeviceTotalMem: (out, index) => writeUint64(out, gpus[Number(index)]?.memoryBytes ?? 0),
  });
}

/** libcuda with these GPUs. `opened` hears which contexts are taken. */
export function paperCuda(gpus: readonly PaperGpu[], opened: number[] = []): Functions {
  const nameOfStatus = new TextEncoder().encode('CUDA_ERROR_UNKNOWN\0');
  return withDefaults({
    cuDeviceGetCount: (out) => writeInt32(out, gpus.length),
    cuDeviceGet: (out, index) => writeInt32(out, Number(index)),
    cuDriverGetVersion: (out) => writeInt32(out, 12_020),
    cuDeviceGetName: (out, _, device) => {
      writeText(out, 0, gpus[Number(device)]?.name ?? '');
      return 0;
    },
    cuDeviceGetAttribute: (out, attribute, device) => {
      const gpu = gpus[Number(device)];
      const capability = (gpu?.architecture ?? 'sm_00').slice(3);
      if (attribute === 18) return writeInt32(out, Number(gpu?.isIntegrated ?? false));
      if (attribute === 75) return writeInt32(out, Number(capability.slice(0, -1)));
      if (attribute === 76) return writeInt32(out, Number(capability.slice(-1)));
      return writeInt32(out, attribute === 10 ? 32 : 0);
    },
    cuDeviceTotalMem_v2: (out, device) => writeUint64(out, gpus[Number(device)]?.memoryBytes ?? 0),
    cuDevicePrimaryCtxRetain: (out, device) => {
      opened.push(Number(device));
      return writeUint64(out, 0x1000 + Number(device));
    },
    cuGetErrorName: (_, out) => writeUint64(out, Number(addressOf(nameOfStatus))),
  });
}
