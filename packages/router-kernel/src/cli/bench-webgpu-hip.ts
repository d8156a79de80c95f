/** The HIP router beside `bench --backend webgpu`: the same logits, on the same GPU. */

import { openGpuDriver, uploadBytes } from '@switchyard/gpu';
import type { DeviceBuffer, GpuDriver, GpuStream, KernelLibrary } from '@switchyard/gpu';
import { resolveRouterConfig } from '../resolve-config.ts';
import type { Logits, ResolvedRouterConfig, RouterConfig } from '../contract.ts';
import { baselineContender } from '../hip/benchmark/contenders.ts';
import { measureLaunches } from '../hip/benchmark/measure.ts';
import { DeviceRoute } from '../hip/device-route.ts';
import { openRouterLibrary } from '../hip/router-library.ts';

/** Median times of one launch among many in a captured graph, in microseconds, with the logits [T, E] on the GPU. */
export interface HipTimes {
  /** Each launch waits for the one before it, as WebGPU's dispatches do. */
  readonly ordinaryMicroseconds: number;
  /** Each begins while the one before it ends, where the GPU can. */
  readonly overlappedMicroseconds: number;
}

/** Times the HIP router's kernel. */
export interface HipTimer {
  /** The GPU's name. */
  readonly device: string;
  /** What a launch of one block that does nothing takes in the same way, in microseconds. */
  readonly emptyLaunchMicroseconds: number;
  measure(logits: Logits, tokens: number): Promise<HipTimes>;
  dispose(): void;
}

/** Launches in a graph, and timed replays of it. */
const MEASURE = { launches: 100, replays: 50 };

/** Opens the HIP backend. @throws BackendUnavailableError, KernelCompileError */
export async function openHipTimer(config: RouterConfig): Promise<HipTimer> {
  const driver = openGpuDriver();
  const library = openRouterLibrary(driver);
  const stream = driver.createStream();
  const dispose = (): void => {
    library.dispose();
    stream.destroy();
    driver.dispose();
  };
  try {
    const { topK } = config;
    const resolved = resolveRouterConfig(config);
    const ordinary = await DeviceRoute.create(driver, library, resolved, 0n, false);
    const overlapped = await DeviceRoute.create(driver, library, resolved, 0n, true);
    return {
      device: driver.info.name,
      emptyLaunchMicroseconds: await measureEmptyLaunch(driver, library, stream, resolved),
      measure: async (logits, tokens) => {
        const buffers: DeviceBuffer[] = [];
        const allocate = (bytes: number): DeviceBuffer => {
          const buffer = driver.allocate(bytes);
          buffers.push(buffer);
          return buffer;
        };
        try {
          const { pointer } = allocate(logits.byteLength);
          const host = new Uint8Array(logits.buffer, logits.byteOffset, logits.byteLength);
          await uploadBytes(driver, stream, pointer, host);
          const call = {
            tokens,
            logits: pointer,
            weights: allocate(tokens * topK * 4).pointer,
            ids: allocate(tokens * topK * 4).pointer,
          };
          const time = async (route: DeviceRoute): Promise<number> => {
            await route.prepare({ tokens });
            return (await measureLaunches(driver, stream, MEASURE, () => route.enqueue(stream, call))).median;
          };
          return { ordinaryMicroseconds: await time(ordinary), overlappedMicroseconds: await time(overlapped) };
        } finally {
          for (const buffer of buffers) buffer.free();
        }
      },
      dispose,
    };
  } catch (error) {
    dispose();
    throw error;
  }
}

async function measureEmptyLaunch(
  driver: GpuDriver,
  library: KernelLibrary,
  stream: GpuStream,
  { experts, topK, logitsDtype: dtype }: ResolvedRouterConfig,
): Promise<number> {
  const empty = await baselineContender('empty', { experts, topK, dtype }, driver, library);
  if (empty === null) return Number.NaN;
  const nothing = { logits: 0n, weights: 0n, ids: 0n };
  return (await measureLaunches(driver, stream, MEASURE, () => empty.enqueue(stream, 1, nothing))).median;
}
