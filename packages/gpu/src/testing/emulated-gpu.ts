/**
 * A GPU whose memory is the host's and whose kernels run in the lockstep emulation: everything that stands on a GpuDriver
 * runs on it as it is, slowly. Work is done when it is enqueued, or when the graph that recorded it is launched.
 */

import { addressOf, viewOf } from '../driver/native-memory.ts';
import { nextTurn } from '../driver/pause.ts';
import type { DeviceBuffer, GpuDriver, GpuEvent, GpuStream, PreparedLaunch } from '../driver/gpu-driver.ts';
import { DeviceError } from '../errors.ts';
import type { KernelCompiler } from '../kernels/kernel-compiler.ts';
import type { KernelTarget } from '../kernels/kernel-target.ts';
import { KernelEmulator, type PackedEmulatedKernel, poison } from './kernel-emulator.ts';

/** What is emulated. */
export interface EmulatedGpuOptions {
  /** An AMD target. Objects of its architecture do not load: kernels are compiled from their text. */
  readonly target: KernelTarget;
  /** Bytes of memory. Defaults to 4 GiB */
  readonly memoryBytes?: number;
}

/** The device, and the compiler that its kernels have to come from. */
export interface EmulatedGpu {
  readonly driver: GpuDriver;
  readonly compiler: KernelCompiler;
  /** Bytes that are allocated now, page-locked memory included. */
  readonly allocatedBytes: number;
  /** Fails every call from now on, as a device that is lost does; null lets calls pass again. */
  failure: Error | null;
  /** Removes compiled kernels. */
  dispose(): void;
}

const ALIGNMENT = 256n;
const DEFAULT_MEMORY_BYTES = 4 * 2 ** 30;

/** What the compiler makes of a unit: the emulation compiles it again for each kernel. */
interface Image {
  readonly source: string;
  readonly defines: Readonly<Record<string, string | number>>;
}

/** Makes a device. */
export function emulatedGpu({ target, memoryBytes = DEFAULT_MEMORY_BYTES }: EmulatedGpuOptions): EmulatedGpu {
  const emulator = new KernelEmulator(target);
  const memory = new HostMemory();
  let recording: (() => void)[] | null = null;
  const gpu: { failure: Error | null } = { failure: null };
  const enqueue = (work: () => void): void => {
    if (gpu.failure !== null) throw gpu.failure;
    if (recording === null) work();
    else recording.push(work);
  };
  const copy = (to: bigint, from: bigint, bytes: number): void =>
    enqueue(() => {
      if (bytes > 0) new Uint8Array(viewOf(to, bytes)).set(new Uint8Array(viewOf(from, bytes)));
    });

  /** Work is done when it is enqueued; who waits for it does so for a turn of the event loop, as with a device. */
  const finished = async (): Promise<void> => {
    await nextTurn();
    if (gpu.failure !== null) throw gpu.failure;
  };

  const driver: GpuDriver = {
    platform: target.vendor,
    info: {
      platform: target.vendor,
      index: 0,
      name: `CPU as ${target.architecture}`,
      architecture: target.architecture,
      waveSize: target.waveSize,
      multiprocessors: 1,
      l2CacheBytes: 0,
      memoryBytes,
      sharedBytesPerBlock: 65536,
      isIntegrated: false,
      driverVersion: 'none',
      library: 'none',
    },
    activate() {},
    memory: () => ({ free: memoryBytes - memory.bytes, total: memoryBytes }),
    allocate: (bytes) => memory.allocate(bytes),
    allocatePinned(bytes, { mapped = false } = {}) {
      const block = memory.allocate(bytes);
      const { pointer } = block;
      const devicePointer = mapped ? pointer : null;
      return { memory: viewOf(pointer, bytes), pointer, devicePointer, bytes, free: () => block.free() };
    },
    registerHost(array) {
      const pointer = addressOf(array);
      return { memory: array, pointer, devicePointer: pointer, bytes: array.byteLength, unregister() {} };
    },
    copyToDevice: copy,
    copyToHost: copy,
    copyOnDevice: copy,
    fill: (to, value, bytes) => enqueue(() => void new Uint8Array(viewOf(to, bytes)).fill(value)),
    createStream: (): GpuStream => ({
      handle: 1n,
      synchronize: finished,
      wait() {},
      destroy() {},
    }),
    createEvent: (): GpuEvent => ({
      handle: 1n,
      record() {},
      hasPassed: () => true,
      passed: async () => {
        await finished();
        return false;
      },
      synchronize() {},
      elapsedSince: () => 0,
      destroy() {},
    }),
    loadModule(bytes) {
      const image = imageOf(bytes, target.architecture);
      return {
        kernel: (name) => {
          const kernel = {
            name,
            handle: 1n,
            resources: () => ({ registers: 0, scratchBytes: 0, sharedBytes: 0 }),
            blocksPerMultiprocessor: () => 1,
          };
          images.set(kernel, image);
          return kernel;
        },
        unload() {},
      };
    },
    prepareLaunch(kernel, { block, argumentBytes }): PreparedLaunch {
      const image = images.get(kernel);
      if (image === undefined || typeof block !== 'number')
        throw new RangeError(`no kernel ${kernel.name} of one axis`);
      const { source, defines } = image;
      const unit = { name: kernel.name, source: () => source, defines };
      const symbol = `${defines['ROUTER_NAMESPACE'] ?? 'router'}::${kernel.name}`;
      let run: PackedEmulatedKernel | null = null;
      const bytes = new Uint8Array(Math.max(argumentBytes, 8));
      const grid = { x: 1, y: 1, z: 1 };
      return {
        arguments: new DataView(bytes.buffer, 0, argumentBytes),
        grid,
        overlapsKernelBefore: false,
        launch: () => {
          const [blocks, values] = [grid.x, bytes.slice()];
          enqueue(() => {
            run ??= emulator.loadPacked({ unit, symbol, threadsPerBlock: block });
            run(blocks, addressOf(values));
          });
        },
      };
    },
    capture(_stream, record) {
      const work: (() => void)[] = [];
      recording = work;
      try {
        record();
      } finally {
        recording = null;
      }
      return {
        launch: () => {
          for (const each of work) enqueue(each);
        },
        upload() {},
        destroy() {},
      };
    },
    dispose() {},
    [Symbol.dispose]() {},
  };
  const images = new WeakMap<object, Image>();
  return {
    driver,
    compiler: {
      version: 'lockstep emulation',
      // Part of the key under which images are kept.
      options: ({ defines }) => Object.entries(defines).map(([name, value]) => `-D${name}=${value}`),
      compile: ({ source, defines }) => new TextEncoder().encode(JSON.stringify({ source, defines })),
    },
    get allocatedBytes() {
      return memory.bytes;
    },
    get failure() {
      return gpu.failure;
    },
    set failure(error) {
      gpu.failure = error;
    },
    dispose: () => emulator.dispose(),
  };
}

/** What the emulation's own compiler made. Throws DeviceError for anything else. */
function imageOf(bytes: Uint8Array, architecture: string): Image {
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as Image;
  } catch (cause) {
    const message = `An object cannot be emulated · found one for ${architecture} · compile the kernel from its text`;
    throw new DeviceError('hip', 'hipModuleLoadData', 'hipErrorNoBinaryForGpu (209)', message, { cause });
  }
}

/** Arrays that stay in place while somebody holds their address. */
class HostMemory {
  bytes = 0;
  readonly #arrays = new Map<bigint, Uint8Array>();

  /** Aligned memory, filled with what kernels do not write by chance. */
  allocate(bytes: number): DeviceBuffer {
    const array = poison(new Uint8Array(bytes + Number(ALIGNMENT)));
    const pointer = ((addressOf(array) + ALIGNMENT - 1n) / ALIGNMENT) * ALIGNMENT;
    this.#arrays.set(pointer, array);
    this.bytes += bytes;
    return {
      pointer,
      bytes,
      free: () => {
        if (this.#arrays.delete(pointer)) this.bytes -= bytes;
      },
    };
  }
}
