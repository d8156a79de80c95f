import type {
  DeviceBuffer,
  DevicePointer,
  GpuDeviceInfo,
  GpuDriver,
  GpuEvent,
  GpuGraph,
  GpuStream,
  PinnedBuffer,
} from '@switchyard/gpu';

/** Enqueued work: what it does, and how long the driver's clock says that it took. */
export interface Work {
  readonly run: () => void;
  readonly microseconds: number;
}

const INFO = {
  index: 0,
  name: 'Memory GPU',
  architecture: 'gfx942',
  waveSize: 64,
  multiprocessors: 1,
  l2CacheBytes: 65536,
  memoryBytes: 2 ** 30,
  driverVersion: '1',
  library: 'memory',
};

/** A driver whose device is host memory and whose clock advances with the work. It runs no kernels. */
export class MemoryDriver implements GpuDriver {
  readonly platform = 'amd';
  readonly info = INFO as GpuDeviceInfo;
  /** Names of work in the order in which graphs replayed it. */
  readonly replayed: number[] = [];
  readonly #blocks = new Map<bigint, Uint8Array>();
  #next = 4096n;
  #microseconds = 0;
  #recording: Work[] | null = null;

  /** Blocks that were allocated and not freed. */
  get blocks(): number {
    return this.#blocks.size;
  }

  enqueue(work: Work): void {
    if (this.#recording !== null) this.#recording.push(work);
    else work.run();
  }

  /** The bytes at an address. */
  at(pointer: DevicePointer, bytes: number): Uint8Array {
    for (const [start, block] of this.#blocks) {
      const offset = Number(pointer - start);
      if (pointer >= start && offset + bytes <= block.length) return block.subarray(offset, offset + bytes);
    }
    throw new RangeError(`Nothing is at ${pointer}.`);
  }

  allocate(bytes: number): DeviceBuffer {
    const block = this.allocatePinned(bytes);
    return { pointer: block.pointer, bytes, free: () => block.free() };
  }

  allocatePinned(bytes: number): PinnedBuffer {
    const pointer = this.#next;
    this.#next += BigInt(bytes + 4096);
    const memory = new ArrayBuffer(bytes);
    this.#blocks.set(pointer, new Uint8Array(memory));
    return { memory, pointer, devicePointer: null, bytes, free: () => void this.#blocks.delete(pointer) };
  }

  copyToDevice(destination: bigint, source: bigint, bytes: number): void {
    this.at(destination, bytes).set(this.at(source, bytes));
    this.#microseconds += 1;
  }

  copyToHost(destination: bigint, source: bigint, bytes: number): void {
    this.copyToDevice(destination, source, bytes);
  }

  copyOnDevice(destination: bigint, source: bigint, bytes: number): void {
    this.copyToDevice(destination, source, bytes);
  }

  fill(destination: bigint, value: number, bytes: number): void {
    this.at(destination, bytes).fill(value);
  }

  createStream(): GpuStream {
    return { handle: 0n, synchronize: async () => undefined, wait: () => undefined, destroy: () => undefined };
  }

  createEvent(): GpuEvent & { time: number } {
    const event = {
      time: 0,
      handle: 0n,
      record: () => {
        event.time = this.#microseconds;
      },
      hasPassed: () => true,
      passed: async () => false,
      synchronize: () => undefined,
      elapsedSince: (start: GpuEvent) => (event.time - ('time' in start ? Number(start.time) : 0)) / 1000,
      destroy: () => undefined,
    };
    return event;
  }

  capture(_stream: GpuStream, record: () => void): GpuGraph {
    this.#recording = [];
    record();
    const work = this.#recording;
    this.#recording = null;
    const total = work.reduce((sum, { microseconds }) => sum + microseconds, 0);
    const launch = (): void => {
      this.#microseconds += total;
      this.replayed.push(work[0]?.microseconds ?? 0);
    };
    return { launch, upload: () => undefined, destroy: () => undefined };
  }

  memory(): { free: number; total: number } {
    return { free: 2 ** 30, total: 2 ** 30 };
  }

  activate(): void {}
  dispose(): void {}
  [Symbol.dispose](): void {}

  registerHost(): never {
    throw new Error('The memory driver registers nothing.');
  }

  loadModule(): never {
    throw new Error('The memory driver runs no kernels.');
  }

  prepareLaunch(): never {
    throw new Error('The memory driver runs no kernels.');
  }
}
