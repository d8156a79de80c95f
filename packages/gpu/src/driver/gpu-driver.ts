/**
 * What programs ask of a GPU runtime: memory, streams, events, modules, launches and graphs. One implementation
 * (native-driver.ts) serves AMD and NVIDIA, whose calls take the same arguments; amd.ts and nvidia.ts say what the
 * calls are named and how a device is described.
 *
 * Several devices may be open at once: every method makes its own current first. Every method throws DeviceError where the runtime reports a failure, OutOfDeviceMemoryError where memory is short,
 * and DisposedError after `dispose()`. All sizes are in bytes.
 */

/** An address in the device's memory. */
export type DevicePointer = bigint;

/** Whose runtime it is. */
export type GpuPlatform = 'amd' | 'nvidia';

/** What is known of the device. */
export interface GpuDeviceInfo {
  readonly platform: GpuPlatform;
  /** Its index in the runtime's own order, from 0. */
  readonly index: number;
  /** The marketing name, such as 'AMD Instinct MI300X'; the architecture where the runtime gives none. */
  readonly name: string;
  /** What kernels are compiled for: 'gfx942' (without its feature suffixes), 'sm_90'. */
  readonly architecture: string;
  /** Lanes that run in lockstep: 64 on gfx9, 32 on gfx10 and later and on NVIDIA. */
  readonly waveSize: number;
  /** Compute units (AMD) or streaming multiprocessors (NVIDIA). */
  readonly multiprocessors: number;
  /** Bytes of level-2 cache; 0 where the runtime does not say. */
  readonly l2CacheBytes: number;
  /** Bytes of device memory. */
  readonly memoryBytes: number;
  /** The most shared memory (LDS) that a block can have, in bytes; 0 where the runtime does not say. */
  readonly sharedBytesPerBlock: number;
  /** Whether it is part of the processor and uses the host's memory. */
  readonly isIntegrated: boolean;
  /** The driver's version, as the runtime reports it ('13.0', '60342134'). */
  readonly driverVersion: string;
  /** The file that the runtime was loaded from. */
  readonly library: string;
}

/** A block of device memory. */
export interface DeviceBuffer {
  readonly pointer: DevicePointer;
  readonly bytes: number;
  /** Gives the memory back. Calling it again does nothing. */
  free(): void;
}

/** Page-locked host memory, which copies run from and to without a detour. */
export interface PinnedBuffer {
  /** The memory itself. Not to be touched after `free()`. */
  readonly memory: ArrayBuffer;
  readonly pointer: bigint;
  /** Where kernels find it; null unless it was asked for as mapped. */
  readonly devicePointer: DevicePointer | null;
  readonly bytes: number;
  free(): void;
}

/** Host memory of the caller, page-locked where it lies. */
export interface RegisteredMemory {
  /** The caller's array, which must not be detached before `unregister()`. */
  readonly memory: Uint8Array;
  readonly pointer: bigint;
  /** Where kernels find it. */
  readonly devicePointer: DevicePointer;
  readonly bytes: number;
  /** Gives the pages back to the system. Calling it again does nothing. */
  unregister(): void;
}

/** An ordered queue of device work. */
export interface GpuStream {
  /** The runtime's own handle (hipStream_t, CUstream). */
  readonly handle: bigint;
  /** Resolves when all work so far is done. Leaves the event loop running. */
  synchronize(): Promise<void>;
  /** Lets later work of this stream begin only when the device has passed an event of another stream. */
  wait(event: GpuEvent): void;
  destroy(): void;
}

/** A point in a stream. */
export interface GpuEvent {
  record(stream: StreamLike): void;
  /** Whether the device has passed the event. Does not wait. */
  hasPassed(): boolean;
  /**
   * Resolves when the device has passed the event. Leaves the event loop running, but for sleeps of up to 2 ms.
   *
   * @param expectedMs milliseconds that this is likely to take. Where it is a quarter of a millisecond or more, the calling
   *   thread sleeps until shortly before, and takes next to no processor time; it tells up to 0.2 ms later. Defaults to 0:
   *   the event is asked for at every turn of the event loop.
   * @returns whether it had passed before it was asked for the first time: then less was to be expected.
   */
  passed(expectedMs?: number): Promise<boolean>;
  /** Waits on the calling thread until the device has passed the event. */
  synchronize(): void;
  /** Milliseconds from `start` to this event; both must have been passed, and keep time. */
  elapsedSince(start: GpuEvent): number;
  readonly handle: bigint;
  destroy(): void;
}

/** A stream of this driver, or the handle of one that other code made. */
export type StreamLike = GpuStream | bigint;

/** A loaded code object. */
export interface GpuModule {
  /** Finds a kernel by its symbol. Throws DeviceError where there is none. */
  kernel(name: string): GpuKernel;
  unload(): void;
}

/** What the device's compiler made of a kernel. */
export interface KernelResources {
  /** Registers a lane (AMD: vector registers). */
  readonly registers: number;
  /** Bytes of scratch (local memory) a lane. */
  readonly scratchBytes: number;
  /** Bytes of statically allocated shared memory (LDS) a block. */
  readonly sharedBytes: number;
}

/** A function on the device. */
export interface GpuKernel {
  readonly name: string;
  readonly handle: bigint;
  resources(): KernelResources;
  /**
   * Blocks of so many threads that a multiprocessor (compute unit) holds at once.
   *
   * @param sharedBytes dynamic shared memory of a block. Defaults to 0
   */
  blocksPerMultiprocessor(block: Extent, sharedBytes?: number): number;
}

/** Sizes in x, y and z; an axis that is not given is 1. */
export type Extent = number | readonly [x: number, y?: number, z?: number];

/** What stays the same from launch to launch. */
export interface LaunchDescription {
  /** Threads of a block. */
  readonly block: Extent;
  /** Bytes of the argument block. */
  readonly argumentBytes: number;
  /** Bytes of shared memory that a block gets beside what the kernel declares. Defaults to 0. */
  readonly sharedBytes?: number;
}

/** A kernel with its grid and its packed arguments, ready to be launched any number of times. */
export interface PreparedLaunch {
  /** The argument block as the device will see it. Writes take effect at the next launch. */
  readonly arguments: DataView;
  /** Blocks of the grid, each axis 1 at first. Writes take effect at the next launch. */
  readonly grid: { x: number; y: number; z: number };
  /**
   * Lets the kernel begin while the kernel before it in the stream still runs. The kernel must itself wait for that one
   * before it touches memory. Defaults to `false`; does nothing where the runtime or the device cannot.
   */
  overlapsKernelBefore: boolean;
  /** Enqueues the launch. Allocates nothing and does not wait. */
  launch(stream: StreamLike): void;
}

/** A recorded sequence of device work. */
export interface GpuGraph {
  launch(stream: StreamLike): void;
  /** Brings the graph to the device now, which the first launch would do otherwise. Does nothing before ROCm 5.3. */
  upload(stream: StreamLike): void;
  destroy(): void;
}

/** One device, opened. */
export interface GpuDriver extends Disposable {
  readonly platform: GpuPlatform;
  readonly info: GpuDeviceInfo;
  /** Makes the device current on the calling thread, for calls of other code. The driver's own calls do it themselves. */
  activate(): void;
  /** Bytes of device memory that are free, and the total. */
  memory(): { readonly free: number; readonly total: number };
  allocate(bytes: number): DeviceBuffer;
  /** @param options.mapped whether kernels may read and write it too. Defaults to `false` */
  allocatePinned(bytes: number, options?: { readonly mapped?: boolean }): PinnedBuffer;
  /** Page-locks memory of the caller, and lets kernels read and write it. */
  registerHost(memory: Uint8Array): RegisteredMemory;
  /** Enqueues a copy to the device from host memory, which must stay in place until the stream has passed it. */
  copyToDevice(destination: DevicePointer, source: bigint, bytes: number, stream: StreamLike): void;
  copyToHost(destination: bigint, source: DevicePointer, bytes: number, stream: StreamLike): void;
  copyOnDevice(destination: DevicePointer, source: DevicePointer, bytes: number, stream: StreamLike): void;
  /** Enqueues a fill with one byte value. */
  fill(destination: DevicePointer, value: number, bytes: number, stream: StreamLike): void;
  createStream(): GpuStream;
  /** @param options.timing whether the event keeps time; one that does not costs less. Defaults to `true` */
  createEvent(options?: { readonly timing?: boolean }): GpuEvent;
  /** Loads a code object (AMD: hsaco or bundle; NVIDIA: cubin). */
  loadModule(image: Uint8Array): GpuModule;
  prepareLaunch(kernel: GpuKernel, description: LaunchDescription): PreparedLaunch;
  /** Records what `record` enqueues on the stream and makes a graph of it. */
  capture(stream: GpuStream, record: () => void): GpuGraph;
  /** Frees what the driver itself holds; buffers, streams and modules are their owners' to free, before. */
  dispose(): void;
}
