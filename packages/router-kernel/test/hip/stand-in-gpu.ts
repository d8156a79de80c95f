/**
 * A GPU of arrays: copies run when they are enqueued, and the router's kernel is the reference. It stands in where a test
 * is about what reaches the device and not about what the device computes.
 */

import { placeKernelArguments } from '@switchyard/gpu';
import type { GpuDriver, KernelCompiler, PinnedBuffer } from '@switchyard/gpu';
import { NativeMemory, viewOf } from '../../../gpu/src/driver/native-memory.ts';
import type { RouterConfig } from '../../src/contract.ts';
import { ROUTER_KERNEL_ARGUMENTS } from '../../src/hip/kernel/argument-lists.ts';
import { referenceRoute } from '../../src/reference.ts';
import { resolveRouterConfig } from '../../src/resolve-config.ts';

/** Bytes of device memory; addresses begin at one megabyte, so that none is null. */
const DEVICE_BYTES = 16 * 2 ** 20;
const FIRST_ADDRESS = 2n ** 20n;

const { placed: ARGUMENTS } = placeKernelArguments(ROUTER_KERNEL_ARGUMENTS);

/** Compiles to nothing, which the stand-in loads. */
export const STAND_IN_COMPILER: KernelCompiler = {
  version: 'none',
  options: () => [],
  compile: () => new Uint8Array(16),
};

/** A driver whose device routes by the reference of one configuration, without a dispatch plan. */
export function standInGpu(config: RouterConfig): GpuDriver {
  const resolved = resolveRouterConfig(config);
  const memory = new Uint8Array(DEVICE_BYTES);
  let allocated = 0;
  let pinned: PinnedBuffer[] = [];
  const at = (address: bigint, bytes: number): Uint8Array => {
    const start = Number(address - FIRST_ADDRESS);
    if (start < 0 || start + bytes > DEVICE_BYTES) throw new RangeError(`device address ${address}`);
    return memory.subarray(start, start + bytes);
  };
  const host = (address: bigint, bytes: number): Uint8Array => {
    const holder = pinned.find(({ pointer, bytes: size }) => address >= pointer && address < pointer + BigInt(size));
    if (holder === undefined) return new Uint8Array(viewOf(address, bytes));
    return new Uint8Array(holder.memory, Number(address - holder.pointer), bytes);
  };

  const route = (block: DataView): void => {
    const read = (name: string): number => {
      const argument = ARGUMENTS.find((candidate) => candidate.name === name);
      if (argument === undefined) throw new Error(`no argument ${name}`);
      const { offset, type } = argument;
      return type === 'pointer' ? Number(block.getBigUint64(offset, true)) : block.getUint32(offset, true);
    };
    const tokens = read('tokens');
    const bits16 = resolved.logitsDtype !== 'f32';
    const rowStride = read('rowBytes') / (bits16 ? 2 : 4);
    const elements = (tokens - 1) * rowStride + resolved.experts;
    const rows = at(BigInt(read('logits')), elements * (bits16 ? 2 : 4)).slice().buffer;
    const [bias, mask, count] = [read('correctionBias'), read('paddingMask'), read('rowCount')];
    const correctionBias = bias === 0 ? null : new Float32Array(at(BigInt(bias), resolved.experts * 4).slice().buffer);
    const onDevice = { ...config, ...(correctionBias === null ? {} : { correctionBias }) };
    const output = referenceRoute(onDevice, bits16 ? new Uint16Array(rows) : new Float32Array(rows), {
      tokens,
      rowStride,
      ...(mask === 0 ? {} : { paddingMask: at(BigInt(mask), tokens) }),
      ...(count === 0 ? {} : { rowCount: new Uint32Array(at(BigInt(count), 4).slice().buffer)[0] ?? 0 }),
    });
    for (const [name, array] of [['ids', output.ids] as const, ['weights', output.weights] as const]) {
      const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
      at(BigInt(read(name)), bytes.length).set(bytes);
    }
  };

  const driver: GpuDriver = {
    platform: 'amd',
    info: {
      platform: 'amd',
      index: 0,
      name: 'Stand-in GPU',
      architecture: 'gfx942',
      waveSize: 64,
      multiprocessors: 1,
      l2CacheBytes: 0,
      memoryBytes: DEVICE_BYTES,
      sharedBytesPerBlock: 65536,
      isIntegrated: false,
      driverVersion: '1',
      library: 'none',
    },
    activate() {},
    memory: () => ({ free: DEVICE_BYTES - allocated, total: DEVICE_BYTES }),
    allocate(bytes) {
      const pointer = FIRST_ADDRESS + BigInt(allocated);
      allocated = Math.ceil((allocated + bytes) / 256) * 256;
      return { pointer, bytes, free() {} };
    },
    allocatePinned(bytes) {
      const block = new NativeMemory(bytes);
      const buffer: PinnedBuffer = {
        memory: block.view.buffer as ArrayBuffer,
        pointer: block.address,
        devicePointer: null,
        bytes,
        free: () => {
          pinned = pinned.filter((other) => other !== buffer);
        },
      };
      pinned.push(buffer);
      return buffer;
    },
    registerHost: () => {
      throw new Error('the stand-in registers no memory');
    },
    copyToDevice: (destination, source, bytes) => at(destination, bytes).set(host(source, bytes)),
    copyToHost: (destination, source, bytes) => host(destination, bytes).set(at(source, bytes)),
    copyOnDevice: (destination, source, bytes) => at(destination, bytes).set(at(source, bytes)),
    fill: (destination, value, bytes) => void at(destination, bytes).fill(value),
    createStream: () => ({
      handle: 1n,
      // A turn of the event loop, as a device would take: whatever was queued behind it runs later.
      synchronize: () => new Promise((resolve) => setImmediate(resolve)),
      wait() {},
      destroy() {},
    }),
    createEvent: () => {
      throw new Error('the stand-in has no events');
    },
    loadModule: () => ({
      kernel: (name) => ({
        name,
        handle: 1n,
        resources: () => ({ registers: 1, scratchBytes: 0, sharedBytes: 0 }),
        blocksPerMultiprocessor: () => 1,
      }),
      unload() {},
    }),
    prepareLaunch(_kernel, { argumentBytes }) {
      const block = new DataView(new ArrayBuffer(argumentBytes));
      const grid = { x: 1, y: 1, z: 1 };
      return { arguments: block, grid, overlapsKernelBefore: false, launch: () => route(block) };
    },
    capture: () => {
      throw new Error('the stand-in has no graphs');
    },
    dispose() {},
    [Symbol.dispose]() {},
  };
  return driver;
}
