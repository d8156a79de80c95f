/** Launches over the calls that HIP and the CUDA driver share. */

import type { CheckedRuntime } from './checked-runtime.ts';
import type { Extent, GpuKernel, LaunchDescription, PreparedLaunch, StreamLike } from './gpu-driver.ts';
import { Status } from './native-calls.ts';
import { NativeMemory } from './native-memory.ts';

/** Marks of the `extra` list: the address, then the size, of a packed argument block. */
const LAUNCH_BUFFER_POINTER = 1n;
const LAUNCH_BUFFER_SIZE = 2n;
/** CUlaunchConfig: grid, block and shared memory as u32, then the stream and the attributes; and one CUlaunchAttribute. */
const LAUNCH_CONFIG = {
  bytes: 56,
  grid: 0,
  block: 12,
  sharedBytes: 24,
  stream: 32,
  attributes: 40,
  attributeCount: 48,
} as const;
const LAUNCH_ATTRIBUTE = { bytes: 72, id: 0, value: 8, programmaticStreamSerialization: 6 } as const;

/** Prepares a launch. The kernel may use as much shared memory as `description` says. */
export function prepareNativeLaunch(
  runtime: CheckedRuntime,
  kernel: GpuKernel,
  description: LaunchDescription,
): PreparedLaunch {
  const { argumentBytes, sharedBytes = 0 } = description;
  const threads = axesOf(description.block);
  const block = new NativeMemory(argumentBytes);
  // Five words for the list, then the size that the list points to.
  const extra = new NativeMemory(48);
  const sizeAddress = extra.address + 40n;
  const end = runtime.native.launchParameterEnd;
  const words = [LAUNCH_BUFFER_POINTER, block.address, LAUNCH_BUFFER_SIZE, sizeAddress, end, BigInt(argumentBytes)];
  for (const [index, word] of words.entries()) extra.view.setBigUint64(index * 8, word, true);
  const grid = { x: 1, y: 1, z: 1 };
  const call = runtime.calls.launch;
  // The closures keep `extra` alive, and `prepared` the argument block: the runtime knows their addresses only.
  const launchOrdinary = (stream: bigint): number => {
    const list = extra.address;
    return call(kernel.handle, grid.x, grid.y, grid.z, threads.x, threads.y, threads.z, sharedBytes, stream, 0n, list);
  };
  const launchOverlapping = overlappingLaunch(runtime, kernel, { grid, threads, sharedBytes, extra });
  const prepared: PreparedLaunch = {
    arguments: block.view,
    grid,
    overlapsKernelBefore: false,
    launch: (stream: StreamLike) => {
      runtime.activate();
      const handle = typeof stream === 'bigint' ? stream : stream.handle;
      const overlaps = prepared.overlapsKernelBefore && launchOverlapping !== null;
      const status = overlaps ? launchOverlapping(handle) : launchOrdinary(handle);
      if (status !== Status.success) runtime.fail('launch', status, `kernel ${kernel.name}`);
    },
  };
  return prepared;
}

/** An extent with every axis filled in. */
export function axesOf(extent: Extent): { readonly x: number; readonly y: number; readonly z: number } {
  const [x, y = 1, z = 1] = typeof extent === 'number' ? [extent] : extent;
  return { x, y, z };
}

interface LaunchConfiguration {
  readonly grid: PreparedLaunch['grid'];
  readonly threads: ReturnType<typeof axesOf>;
  readonly sharedBytes: number;
  readonly extra: NativeMemory;
}

/** Launches that may begin before the kernel before is done; null where the runtime has none. */
function overlappingLaunch(
  runtime: CheckedRuntime,
  kernel: GpuKernel,
  { grid, threads, sharedBytes, extra }: LaunchConfiguration,
): ((stream: bigint) => number) | null {
  const call = runtime.native.launchWithAttributes;
  if (call === null) return null;
  // One block for both, so that whoever holds the configuration holds the attribute that it points to.
  const config = new NativeMemory(LAUNCH_CONFIG.bytes + LAUNCH_ATTRIBUTE.bytes);
  const attribute = LAUNCH_CONFIG.bytes;
  config.view.setUint32(attribute + LAUNCH_ATTRIBUTE.id, LAUNCH_ATTRIBUTE.programmaticStreamSerialization, true);
  config.view.setInt32(attribute + LAUNCH_ATTRIBUTE.value, 1, true);
  const setAxes = (at: number, { x, y, z }: ReturnType<typeof axesOf>): void => {
    config.view.setUint32(at, x, true);
    config.view.setUint32(at + 4, y, true);
    config.view.setUint32(at + 8, z, true);
  };
  setAxes(LAUNCH_CONFIG.block, threads);
  config.view.setUint32(LAUNCH_CONFIG.sharedBytes, sharedBytes, true);
  config.view.setBigUint64(LAUNCH_CONFIG.attributes, config.address + BigInt(attribute), true);
  config.view.setUint32(LAUNCH_CONFIG.attributeCount, 1, true);
  return (stream) => {
    setAxes(LAUNCH_CONFIG.grid, grid);
    config.view.setBigUint64(LAUNCH_CONFIG.stream, stream, true);
    return call(config.address, kernel.handle, 0n, extra.address);
  };
}
