/** GpuDriver over the calls that HIP and the CUDA driver share. */

import { DeviceError, DisposedError, OutOfDeviceMemoryError } from '../errors.ts';
import type {
  DeviceBuffer,
  DevicePointer,
  GpuDeviceInfo,
  GpuDriver,
  GpuEvent,
  GpuGraph,
  GpuKernel,
  GpuModule,
  GpuPlatform,
  GpuStream,
  KernelResources,
  PinnedBuffer,
  PreparedLaunch,
  StreamLike,
} from './gpu-driver.ts';
import { type NativeRuntime, type SharedCall, Status } from './native-calls.ts';
import { addressOf, NativeMemory, viewOf } from './native-memory.ts';
import type { StatusFunction } from './shared-library.ts';

/** Both runtimes' flag for a stream that does not wait for the default stream. */
const STREAM_NON_BLOCKING = 1;
/** Both runtimes' capture mode in which other threads' calls do not break a capture. */
const CAPTURE_THREAD_LOCAL = 1;
/** Marks of the `extra` list: the address, then the size, of a packed argument block. */
const LAUNCH_BUFFER_POINTER = 1n;
const LAUNCH_BUFFER_SIZE = 2n;
/** CUlaunchConfig: grid, block and shared memory as u32, then the stream and the attributes; and one CUlaunchAttribute. */
const LAUNCH_CONFIG = { bytes: 56, grid: 0, block: 12, stream: 32, attributes: 40, attributeCount: 48 } as const;
const LAUNCH_ATTRIBUTE = { bytes: 72, id: 0, value: 8, programmaticStreamSerialization: 6 } as const;
/** Function attributes that both runtimes number alike. */
const ATTRIBUTE = { sharedBytes: 1, localBytes: 3, registers: 4 } as const;
/** Times a stream is asked at once, in turns of the event loop, before a timer of 1 ms takes over. */
const EAGER_QUERIES = 2000;

/** One device behind a NativeRuntime. */
export class NativeGpuDriver implements GpuDriver {
  readonly #runtime: NativeRuntime;
  readonly #calls: Readonly<Record<SharedCall, StatusFunction>>;
  /** Two words for out parameters. Calls are synchronous, so one pair serves all. */
  readonly #out = new NativeMemory(16);
  #disposed = false;

  constructor(runtime: NativeRuntime) {
    this.#runtime = runtime;
    this.#calls = runtime.calls;
  }

  get platform(): GpuPlatform {
    return this.#runtime.platform;
  }

  get info(): GpuDeviceInfo {
    return this.#runtime.info;
  }

  activate(): void {
    if (this.#disposed) throw new DisposedError(`GPU driver (${this.info.name})`);
    this.#runtime.activate();
  }

  memory(): { readonly free: number; readonly total: number } {
    this.activate();
    this.#check('memoryInfo', this.#calls.memoryInfo(this.#out.address, this.#out.address + 8n));
    return {
      free: Number(this.#out.view.getBigUint64(0, true)),
      total: Number(this.#out.view.getBigUint64(8, true)),
    };
  }

  allocate(bytes: number): DeviceBuffer {
    this.activate();
    this.#checkAllocation('malloc', this.#calls.malloc(this.#out.address, Math.max(bytes, 1)), bytes);
    const pointer = this.#outPointer();
    return { pointer, bytes, free: this.#once('free', () => this.#calls.free(pointer)) };
  }

  allocatePinned(bytes: number): PinnedBuffer {
    this.activate();
    const size = Math.max(bytes, 8);
    this.#checkAllocation('hostMalloc', this.#calls.hostMalloc(this.#out.address, size, 0), size);
    const pointer = this.#outPointer();
    const memory = viewOf(pointer, size);
    return { memory, pointer, bytes: size, free: this.#once('hostFree', () => this.#calls.hostFree(pointer)) };
  }

  copyToDevice(destination: DevicePointer, source: bigint, bytes: number, stream: StreamLike): void {
    if (bytes === 0) return;
    this.#check('copyToDevice', this.#calls.copyToDevice(destination, source, bytes, handleOf(stream)));
  }

  copyToHost(destination: bigint, source: DevicePointer, bytes: number, stream: StreamLike): void {
    if (bytes === 0) return;
    this.#check('copyToHost', this.#calls.copyToHost(destination, source, bytes, handleOf(stream)));
  }

  copyOnDevice(destination: DevicePointer, source: DevicePointer, bytes: number, stream: StreamLike): void {
    if (bytes === 0) return;
    this.#check('copyOnDevice', this.#calls.copyOnDevice(destination, source, bytes, handleOf(stream)));
  }

  fill(destination: DevicePointer, value: number, bytes: number, stream: StreamLike): void {
    if (bytes === 0) return;
    this.#check('fillBytes', this.#calls.fillBytes(destination, value, bytes, handleOf(stream)));
  }

  createStream(): GpuStream {
    this.activate();
    this.#check('streamCreate', this.#calls.streamCreate(this.#out.address, STREAM_NON_BLOCKING));
    const handle = this.#outPointer();
    return {
      handle,
      synchronize: () => this.#drain(handle),
      destroy: this.#once('streamDestroy', () => this.#calls.streamDestroy(handle)),
    };
  }

  createEvent(): GpuEvent {
    this.activate();
    this.#check('eventCreate', this.#calls.eventCreate(this.#out.address, 0));
    const handle = this.#outPointer();
    return {
      handle,
      record: (stream) => this.#check('eventRecord', this.#calls.eventRecord(handle, handleOf(stream))),
      synchronize: () => this.#check('eventSynchronize', this.#calls.eventSynchronize(handle)),
      elapsedSince: (start) => {
        this.#check('eventElapsed', this.#calls.eventElapsed(this.#out.address, start.handle, handle));
        return this.#out.view.getFloat32(0, true);
      },
      destroy: this.#once('eventDestroy', () => this.#calls.eventDestroy(handle)),
    };
  }

  loadModule(image: Uint8Array): GpuModule {
    this.activate();
    this.#check('moduleLoad', this.#calls.moduleLoad(this.#out.address, addressOf(image)));
    const handle = this.#outPointer();
    return {
      kernel: (name) => this.#findKernel(handle, name),
      unload: this.#once('moduleUnload', () => this.#calls.moduleUnload(handle)),
    };
  }

  prepareLaunch(kernel: GpuKernel, blockSize: number, argumentBytes: number): PreparedLaunch {
    const block = new NativeMemory(argumentBytes);
    // Five words for the list, then the size that the list points to.
    const extra = new NativeMemory(48);
    const sizeAddress = extra.address + 40n;
    const end = this.#runtime.launchParameterEnd;
    const words = [LAUNCH_BUFFER_POINTER, block.address, LAUNCH_BUFFER_SIZE, sizeAddress, end, BigInt(argumentBytes)];
    for (const [index, word] of words.entries()) extra.view.setBigUint64(index * 8, word, true);
    const call = this.#calls.launch;
    const overlapping = this.#prepareOverlappingLaunch(kernel, blockSize, extra.address);
    const prepared: PreparedLaunch = {
      arguments: block.view,
      gridSize: 1,
      overlapsKernelBefore: false,
      launch: (stream) => {
        if (prepared.overlapsKernelBefore && overlapping !== null) {
          overlapping(prepared.gridSize, handleOf(stream));
          return;
        }
        const list = extra.address;
        const status = call(kernel.handle, prepared.gridSize, 1, 1, blockSize, 1, 1, 0, handleOf(stream), 0n, list);
        if (status !== Status.success) this.#fail('launch', status, `kernel ${kernel.name}`);
      },
    };
    return prepared;
  }

  capture(stream: GpuStream, record: () => void): GpuGraph {
    this.activate();
    this.#check('captureBegin', this.#calls.captureBegin(stream.handle, CAPTURE_THREAD_LOCAL));
    let failure: { readonly error: unknown } | null = null;
    try {
      record();
    } catch (error) {
      failure = { error };
    }
    const status = this.#calls.captureEnd(stream.handle, this.#out.address);
    const graph = status === Status.success ? this.#outPointer() : 0n;
    if (failure !== null) {
      if (graph !== 0n) this.#calls.graphDestroy(graph);
      throw failure.error;
    }
    this.#check('captureEnd', status);
    const instantiated = this.#calls.graphInstantiate(this.#out.address, graph, 0);
    const executable = this.#outPointer();
    this.#calls.graphDestroy(graph);
    this.#check('graphInstantiate', instantiated);
    return {
      launch: (on) => this.#check('graphLaunch', this.#calls.graphLaunch(executable, handleOf(on))),
      destroy: this.#once('graphExecDestroy', () => this.#calls.graphExecDestroy(executable)),
    };
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#runtime.close();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Launches that may begin before the kernel before is done; null where the runtime has none. */
  #prepareOverlappingLaunch(
    kernel: GpuKernel,
    blockSize: number,
    extra: bigint,
  ): ((gridSize: number, stream: bigint) => void) | null {
    const call = this.#runtime.launchWithAttributes;
    if (call === null) return null;
    // One block for both, so that whoever holds the configuration holds the attribute that it points to.
    const config = new NativeMemory(LAUNCH_CONFIG.bytes + LAUNCH_ATTRIBUTE.bytes);
    const attribute = LAUNCH_CONFIG.bytes;
    config.view.setUint32(attribute + LAUNCH_ATTRIBUTE.id, LAUNCH_ATTRIBUTE.programmaticStreamSerialization, true);
    config.view.setInt32(attribute + LAUNCH_ATTRIBUTE.value, 1, true);
    for (const [axis, threads] of [blockSize, 1, 1].entries()) {
      config.view.setUint32(LAUNCH_CONFIG.grid + axis * 4, 1, true);
      config.view.setUint32(LAUNCH_CONFIG.block + axis * 4, threads, true);
    }
    config.view.setBigUint64(LAUNCH_CONFIG.attributes, config.address + BigInt(attribute), true);
    config.view.setUint32(LAUNCH_CONFIG.attributeCount, 1, true);
    return (gridSize, stream) => {
      config.view.setUint32(LAUNCH_CONFIG.grid, gridSize, true);
      config.view.setBigUint64(LAUNCH_CONFIG.stream, stream, true);
      const status = call(config.address, kernel.handle, 0n, extra);
      if (status !== Status.success) this.#fail('launch', status, `kernel ${kernel.name}`);
    };
  }

  #findKernel(module: bigint, name: string): GpuKernel {
    this.#check('moduleFunction', this.#calls.moduleFunction(this.#out.address, module, name), `symbol ${name}`);
    const handle = this.#outPointer();
    const attribute = (which: number): number => {
      this.#check('functionAttribute', this.#calls.functionAttribute(this.#out.address, which, handle));
      return this.#out.view.getInt32(0, true);
    };
    return {
      name,
      handle,
      resources: (): KernelResources => ({
        registers: attribute(ATTRIBUTE.registers),
        scratchBytes: attribute(ATTRIBUTE.localBytes),
        sharedBytes: attribute(ATTRIBUTE.sharedBytes),
      }),
    };
  }

  /** Asks rather than waits, so that the event loop goes on; short work is done within a few turns of it. */
  async #drain(stream: bigint): Promise<void> {
    for (let query = 0; ; query += 1) {
      this.activate();
      const status = this.#calls.streamQuery(stream);
      if (status === Status.success) return;
      if (status !== Status.notReady) this.#fail('streamQuery', status);
      await (query < EAGER_QUERIES ? nextTurn() : nextMillisecond());
    }
  }

  #outPointer(): bigint {
    return this.#out.view.getBigUint64(0, true);
  }

  /** A release that runs once, and not after the driver itself is gone, when the runtime has freed everything. */
  #once(call: SharedCall, release: () => number): () => void {
    let released = false;
    return () => {
      if (released || this.#disposed) return;
      released = true;
      this.activate();
      this.#check(call, release());
    };
  }

  #check(call: SharedCall, status: number, detail?: string): void {
    if (status !== Status.success) this.#fail(call, status, detail);
  }

  #checkAllocation(call: SharedCall, status: number, bytes: number): void {
    if (status === Status.outOfMemory) {
      const message =
        `${this.#nameOf(call)} could not get ${bytes} bytes on ${this.info.name} · ` +
        `${this.#runtime.statusName(status)} (${status}) · free memory or route fewer tokens a call`;
      throw new OutOfDeviceMemoryError('hip', bytes, message);
    }
    this.#check(call, status);
  }

  #nameOf(call: SharedCall): string {
    return this.#runtime.names[call][0] ?? call;
  }

  #fail(call: SharedCall, status: number, detail?: string): never {
    const name = this.#runtime.statusName(status);
    const advice =
      status === Status.noBinaryForGpu
        ? `the code object was not built for ${this.info.architecture}`
        : 'see the runtime documentation of this status';
    const about = detail === undefined ? '' : ` (${detail})`;
    const message = `${this.#nameOf(call)}${about} failed on ${this.info.name} · ${name} (${status}) · ${advice}`;
    throw new DeviceError('hip', this.#nameOf(call), `${name} (${status})`, message);
  }
}

function handleOf(stream: StreamLike): bigint {
  return typeof stream === 'bigint' ? stream : stream.handle;
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function nextMillisecond(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, 1);
  });
}
