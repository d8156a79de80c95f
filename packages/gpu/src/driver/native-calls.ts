/** The calls that HIP and the CUDA driver share but for their names. Every one returns a status, 0 for success. */

import type { GpuDeviceInfo, GpuPlatform } from './gpu-driver.ts';
import type { FunctionShape, NativeType, StatusFunction } from './shared-library.ts';

/** Parameters of each call that both runtimes have. `void *` is any pointer or handle. */
export const SHARED_CALLS = {
  malloc: ['void *', 'size_t'],
  free: ['void *'],
  hostMalloc: ['void *', 'size_t', 'uint'],
  hostFree: ['void *'],
  hostRegister: ['void *', 'size_t', 'uint'],
  hostUnregister: ['void *'],
  hostDevicePointer: ['void *', 'void *', 'uint'],
  memoryInfo: ['void *', 'void *'],
  copyToDevice: ['void *', 'void *', 'size_t', 'void *'],
  copyToHost: ['void *', 'void *', 'size_t', 'void *'],
  copyOnDevice: ['void *', 'void *', 'size_t', 'void *'],
  fillBytes: ['void *', 'uint8', 'size_t', 'void *'],
  streamCreate: ['void *', 'uint'],
  streamQuery: ['void *'],
  streamWaitEvent: ['void *', 'void *', 'uint'],
  streamDestroy: ['void *'],
  eventCreate: ['void *', 'uint'],
  eventRecord: ['void *', 'void *'],
  eventQuery: ['void *'],
  eventSynchronize: ['void *'],
  eventElapsed: ['void *', 'void *', 'void *'],
  eventDestroy: ['void *'],
  moduleLoad: ['void *', 'void *'],
  moduleUnload: ['void *'],
  moduleFunction: ['void *', 'void *', 'const char *'],
  functionAttribute: ['void *', 'int', 'void *'],
  occupancy: ['void *', 'void *', 'int', 'size_t'],
  launch: ['void *', 'uint', 'uint', 'uint', 'uint', 'uint', 'uint', 'uint', 'void *', 'void *', 'void *'],
  captureBegin: ['void *', 'int'],
  captureEnd: ['void *', 'void *'],
  graphInstantiate: ['void *', 'void *', 'uint64'],
  graphLaunch: ['void *', 'void *'],
  graphDestroy: ['void *'],
  graphExecDestroy: ['void *'],
} as const satisfies Readonly<Record<string, readonly NativeType[]>>;

export type SharedCall = keyof typeof SHARED_CALLS;
export type SharedCallNames = Readonly<Record<SharedCall, readonly string[]>>;

/** A call that not every runtime has. */
export interface NamedCall<Args extends readonly unknown[]> {
  /** Its own name, for errors. */
  readonly name: string;
  /** Returns a status. */
  readonly call: (...args: Args) => number;
}

/** A runtime that has been opened for one device. */
export interface NativeRuntime {
  readonly platform: GpuPlatform;
  readonly info: GpuDeviceInfo;
  readonly calls: Readonly<Record<SharedCall, StatusFunction>>;
  /** The calls' own names, for errors. */
  readonly names: SharedCallNames;
  /** cuLaunchKernelEx, where a launch can overlap the kernel before it: CUDA 12.3, compute capability 9. Else null. */
  readonly launchWithAttributes: StatusFunction | null;
  /** Uploads an executable graph on a stream; null where the runtime has no such call. */
  readonly graphUpload: NamedCall<[graph: bigint, stream: bigint]> | null;
  /** Lets a kernel have so many bytes of dynamic shared memory; null where every kernel may have what there is. */
  readonly allowSharedBytes: NamedCall<[kernel: bigint, bytes: number]> | null;
  /** Flags of pinned host memory that kernels see, and whose writes both sides see at once. */
  readonly mappedHostFlags: number;
  /** The mark that ends the `extra` list of a launch: 3 in HIP, 0 in CUDA. */
  readonly launchParameterEnd: bigint;
  /** The runtime's own name of a status, such as 'hipErrorOutOfMemory'. */
  statusName(status: number): string;
  activate(): void;
  /** Gives back what opening took. */
  close(): void;
}

/** A runtime that has started: its devices, none of them opened yet. */
export interface NativePlatform {
  /** In the runtime's own order; at least one. */
  readonly devices: readonly GpuDeviceInfo[];
  /** Opens a device by its index. */
  open(index: number): NativeRuntime;
}

/** Joins names with parameters. */
export function shapesOf(names: SharedCallNames): Readonly<Record<SharedCall, FunctionShape>> {
  const entries = (Object.keys(SHARED_CALLS) as SharedCall[]).map((key) => [
    key,
    { names: names[key], parameters: SHARED_CALLS[key] },
  ]);
  return Object.fromEntries(entries) as Record<SharedCall, FunctionShape>;
}

/** Status codes that both runtimes number alike. */
export const Status = {
  success: 0,
  outOfMemory: 2,
  noDevice: 100,
  invalidDevice: 101,
  noBinaryForGpu: 209,
  notReady: 600,
} as const;
