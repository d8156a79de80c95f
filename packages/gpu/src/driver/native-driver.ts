/** GpuDriver over the calls that HIP and the CUDA driver share. Every call makes its device current first. */

import { CheckedRuntime } from './checked-runtime.ts';
import type {
  DeviceBuffer,
  DevicePointer,
  Extent,
  GpuDeviceInfo,
  GpuDriver,
  GpuEvent,
  GpuGraph,
  GpuKernel,
  GpuModule,
  GpuPlatform,
  GpuStream,
  KernelResources,
  LaunchDescription,
  PinnedBuffer,
  PreparedLaunch,
  RegisteredMemory,
  StreamLike,
} from './gpu-driver.ts';
import { type NativeRuntime, type SharedCall, Status } from './native-calls.ts';
import { axesOf, prepareNativeLaunch } from './native-launch.ts';
import { addressOf, viewOf } from './native-memory.ts';
import { nextTurn, pause } from './pause.ts';
import type { NativeArgument, StatusFunction } from './shared-library.ts';

/** Both runtimes' flag for a stream that does not wait for the default stream. */
const STREAM_NON_BLOCKING = 1;
/** Both runtimes' flags for an event that keeps no time, and whose waiters sleep. */
const EVENT_DISABLE_TIMING = 2;
const EVENT_BLOCKING_SYNC = 1;
/** Waits that are likely to be shorter are spent asking. */
const SHORTEST_SLEEP_MS = 0.25;
/** What takes this much longer than was likely may take any time, and is asked every millisecond. */
const OVERDUE_MS = 5;
/** Both runtimes' flag for registered host memory that the device addresses. */
const HOST_REGISTER_MAPPED = 2;
/** Both runtimes' capture mode in which other threads' calls do not break a capture. */
const CAPTURE_THREAD_LOCAL = 1;
/** Function attributes that both runtimes number alike. */
const ATTRIBUTE = { sharedBytes: 1, localBytes: 3, registers: 4 } as const;
/** Shared memory of a block, in bytes, that NVIDIA gives without being asked for each kernel. */
const SHARED_BYTES_WITHOUT_ASKING = 48 * 1024;
/** Times a stream is asked at once, in turns of the event loop, before a timer of 1 ms takes over. */
const EAGER_QUERIES = 2000;

/** One device behind a NativeRuntime. */
export class NativeGpuDriver implements GpuDriver {
  readonly #runtime: CheckedRuntime;
  readonly #calls: Readonly<Record<SharedCall, StatusFunction>>;
  /** The most dynamic shared memory that each kernel was allowed. */
  readonly #sharedBytes = new WeakMap<GpuKernel, number>();

  constructor(runtime: NativeRuntime) {
    this.#runtime = new CheckedRuntime(runtime);
    this.#calls = runtime.calls;
  }

  get platform(): GpuPlatform {
    return this.#runtime.native.platform;
  }

  get info(): GpuDeviceInfo {
    return this.#runtime.info;
  }

  activate(): void {
    this.#runtime.activate();
  }

  memory(): { readonly free: number; readonly total: number } {
    const { out } = this.#runtime;
    this.#call('memoryInfo', out.address, out.address + 8n);
    return { free: Number(out.view.getBigUint64(0, true)), total: Number(out.view.getBigUint64(8, true)) };
  }

  allocate(bytes: number): DeviceBuffer {
    this.activate();
    const status = this.#calls.malloc(this.#runtime.out.address, Math.max(bytes, 1));
    this.#runtime.checkAllocation('malloc', status, bytes);
    const pointer = this.#runtime.outPointer();
    return { pointer, bytes, free: this.#runtime.once('free', () => this.#calls.free(pointer)) };
  }

  allocatePinned(bytes: number, { mapped = false }: { readonly mapped?: boolean } = {}): PinnedBuffer {
    this.activate();
    const size = Math.max(bytes, 8);
    const flags = mapped ? this.#runtime.native.mappedHostFlags : 0;
    this.#runtime.checkAllocation('hostMalloc', this.#calls.hostMalloc(this.#runtime.out.address, size, flags), size);
    const pointer = this.#runtime.outPointer();
    const free = this.#runtime.once('hostFree', () => this.#calls.hostFree(pointer));
    try {
      const devicePointer = mapped ? this.#devicePointerOf(pointer) : null;
      return { memory: viewOf(pointer, size), pointer, devicePointer, bytes: size, free };
    } catch (error) {
      free();
      throw error;
    }
  }

  registerHost(memory: Uint8Array): RegisteredMemory {
    this.activate();
    const pointer = addressOf(memory);
    const bytes = memory.byteLength;
    this.#runtime.checkAllocation(
      'hostRegister',
      this.#calls.hostRegister(pointer, bytes, HOST_REGISTER_MAPPED),
      bytes,
    );
    const unregister = this.#runtime.once('hostUnregister', () => this.#calls.hostUnregister(pointer));
    try {
      return { memory, pointer, devicePointer: this.#devicePointerOf(pointer), bytes, unregister };
    } catch (error) {
      unregister();
      throw error;
    }
  }

  copyToDevice(destination: DevicePointer, source: bigint, bytes: number, stream: StreamLike): void {
    if (bytes > 0) this.#call('copyToDevice', destination, source, bytes, handleOf(stream));
  }

  copyToHost(destination: bigint, source: DevicePointer, bytes: number, stream: StreamLike): void {
    if (bytes > 0) this.#call('copyToHost', destination, source, bytes, handleOf(stream));
  }

  copyOnDevice(destination: DevicePointer, source: DevicePointer, bytes: number, stream: StreamLike): void {
    if (bytes > 0) this.#call('copyOnDevice', destination, source, bytes, handleOf(stream));
  }

  fill(destination: DevicePointer, value: number, bytes: number, stream: StreamLike): void {
    if (bytes > 0) this.#call('fillBytes', destination, value, bytes, handleOf(stream));
  }

  createStream(): GpuStream {
    this.#call('streamCreate', this.#runtime.out.address, STREAM_NON_BLOCKING);
    const handle = this.#runtime.outPointer();
    return {
      handle,
      synchronize: async () => {
        await this.#until('streamQuery', handle);
      },
      wait: (event) => this.#call('streamWaitEvent', handle, event.handle, 0),
      destroy: this.#runtime.once('streamDestroy', () => this.#calls.streamDestroy(handle)),
    };
  }

  createEvent({ timing = true }: { readonly timing?: boolean } = {}): GpuEvent {
    const { out } = this.#runtime;
    this.#call('eventCreate', out.address, timing ? 0 : EVENT_DISABLE_TIMING | EVENT_BLOCKING_SYNC);
    const handle = this.#runtime.outPointer();
    return {
      handle,
      record: (stream) => this.#call('eventRecord', handle, handleOf(stream)),
      hasPassed: () => this.#isDone('eventQuery', handle),
      passed: (expectedMs = 0) =>
        expectedMs < SHORTEST_SLEEP_MS ? this.#until('eventQuery', handle) : this.#sleepUntil(handle, expectedMs),
      synchronize: () => this.#call('eventSynchronize', handle),
      elapsedSince: (start) => {
        this.#call('eventElapsed', out.address, start.handle, handle);
        return out.view.getFloat32(0, true);
      },
      destroy: this.#runtime.once('eventDestroy', () => this.#calls.eventDestroy(handle)),
    };
  }

  loadModule(image: Uint8Array): GpuModule {
    this.#call('moduleLoad', this.#runtime.out.address, addressOf(image));
    const handle = this.#runtime.outPointer();
    const kernels = new Map<string, GpuKernel>();
    return {
      kernel: (name) => {
        const kernel = kernels.get(name) ?? this.#findKernel(handle, name);
        kernels.set(name, kernel);
        return kernel;
      },
      unload: this.#runtime.once('moduleUnload', () => this.#calls.moduleUnload(handle)),
    };
  }

  prepareLaunch(kernel: GpuKernel, description: LaunchDescription): PreparedLaunch {
    this.activate();
    this.#allowSharedBytes(kernel, description.sharedBytes ?? 0);
    return prepareNativeLaunch(this.#runtime, kernel, description);
  }

  capture(stream: GpuStream, record: () => void): GpuGraph {
    const runtime = this.#runtime;
    this.#call('captureBegin', stream.handle, CAPTURE_THREAD_LOCAL);
    let failure: { readonly error: unknown } | null = null;
    try {
      record();
    } catch (error) {
      failure = { error };
    }
    runtime.activate();
    const status = this.#calls.captureEnd(stream.handle, runtime.out.address);
    const graph = status === Status.success ? runtime.outPointer() : 0n;
    if (failure !== null) {
      if (graph !== 0n) this.#calls.graphDestroy(graph);
      throw failure.error;
    }
    runtime.check('captureEnd', status);
    const instantiated = this.#calls.graphInstantiate(runtime.out.address, graph, 0);
    const executable = runtime.outPointer();
    this.#calls.graphDestroy(graph);
    runtime.check('graphInstantiate', instantiated);
    const { graphUpload } = runtime.native;
    return {
      launch: (on) => this.#call('graphLaunch', executable, handleOf(on)),
      upload: (on) => {
        if (graphUpload === null) return;
        runtime.activate();
        runtime.check(graphUpload.name, graphUpload.call(executable, handleOf(on)));
      },
      destroy: runtime.once('graphExecDestroy', () => this.#calls.graphExecDestroy(executable)),
    };
  }

  dispose(): void {
    this.#runtime.close();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** One checked call on this device. */
  #call(call: SharedCall, ...args: readonly NativeArgument[]): void {
    this.#runtime.activate();
    this.#runtime.check(call, this.#calls[call](...args));
  }

  #devicePointerOf(host: bigint): DevicePointer {
    this.#call('hostDevicePointer', this.#runtime.out.address, host, 0);
    return this.#runtime.outPointer();
  }

  #findKernel(module: bigint, name: string): GpuKernel {
    const { out } = this.#runtime;
    this.#runtime.activate();
    this.#runtime.check('moduleFunction', this.#calls.moduleFunction(out.address, module, name), `symbol ${name}`);
    const handle = this.#runtime.outPointer();
    const attribute = (which: number): number => {
      this.#call('functionAttribute', out.address, which, handle);
      return out.view.getInt32(0, true);
    };
    return {
      name,
      handle,
      resources: (): KernelResources => ({
        registers: attribute(ATTRIBUTE.registers),
        scratchBytes: attribute(ATTRIBUTE.localBytes),
        sharedBytes: attribute(ATTRIBUTE.sharedBytes),
      }),
      blocksPerMultiprocessor: (block: Extent, sharedBytes = 0): number => {
        const { x, y, z } = axesOf(block);
        this.#call('occupancy', out.address, handle, x * y * z, sharedBytes);
        return out.view.getInt32(0, true);
      },
    };
  }

  /** Asks for dynamic shared memory that the runtime does not give by itself. It is never asked for less again. */
  #allowSharedBytes(kernel: GpuKernel, bytes: number): void {
    const allow = this.#runtime.native.allowSharedBytes;
    if (allow === null || bytes <= (this.#sharedBytes.get(kernel) ?? 0)) return;
    if (bytes + kernel.resources().sharedBytes <= SHARED_BYTES_WITHOUT_ASKING) return;
    this.#runtime.check(allow.name, allow.call(kernel.handle, bytes), `kernel ${kernel.name}, ${bytes} bytes`);
    this.#sharedBytes.set(kernel, bytes);
  }

  /** Sleeps for most of the time that an event is likely to take. Returns whether it had passed meanwhile. */
  async #sleepUntil(event: bigint, expectedMs: number): Promise<boolean> {
    const expected = performance.now() + expectedMs;
    const left = (): number => expected - performance.now();
    // A timer is early by as much as the turn of the event loop had taken when it was set.
    while (left() > 0) await pause(left());
    for (let query = 0; ; query++) {
      if (this.#isDone('eventQuery', event)) return query === 0;
      await (left() > -OVERDUE_MS ? pause(0) : nextMillisecond());
    }
  }

  /**
   * Asks rather than waits, so that the event loop goes on; short work is done within a few turns of it. Returns whether it
   * was done already.
   */
  async #until(ask: 'streamQuery' | 'eventQuery', handle: bigint): Promise<boolean> {
    for (let query = 0; ; query += 1) {
      if (this.#isDone(ask, handle)) return query === 0;
      await (query < EAGER_QUERIES ? nextTurn() : nextMillisecond());
    }
  }

  #isDone(ask: 'streamQuery' | 'eventQuery', handle: bigint): boolean {
    this.activate();
    const status = this.#calls[ask](handle);
    if (status !== Status.notReady) this.#runtime.check(ask, status);
    return status === Status.success;
  }
}

function handleOf(stream: StreamLike): bigint {
  return typeof stream === 'bigint' ? stream : stream.handle;
}

function nextMillisecond(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, 1);
  });
}
