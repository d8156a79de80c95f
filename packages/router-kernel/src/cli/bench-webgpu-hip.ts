/** The HIP router beside `bench --backend webgpu`: the same logits, on the same GPU. */

import { resolveRouterConfig } from '../contract.ts';
import type { Logits, RouterConfig } from '../contract.ts';
import { measureLaunches, uploadBytes } from '../hip/benchmark/measure.ts';
import { DeviceRoute } from '../hip/device-route.ts';
import type { DeviceBuffer } from '../hip/driver/gpu-driver.ts';
import { openGpuDriver } from '../hip/driver/open-driver.ts';
import { KernelLibrary } from '../hip/kernel-library.ts';

/** Times the HIP router's kernel. */
export interface HipTimer {
  /** The GPU's name. */
  readonly device: string;
  /** The median time of one launch among many in a captured graph, in microseconds, with the logits [T, E] on the GPU. */
  measure(logits: Logits, tokens: number): Promise<number>;
  dispose(): void;
}

/** Launches in a graph, and timed replays of it. */
const MEASURE = { launches: 100, replays: 50 };

/** Opens the HIP backend. @throws BackendUnavailableError, KernelCompileError */
export async function openHipTimer(config: RouterConfig): Promise<HipTimer> {
  const driver = openGpuDriver();
  const library = new KernelLibrary(driver);
  const stream = driver.createStream();
  const dispose = (): void => {
    library.dispose();
    stream.destroy();
    driver.dispose();
  };
  try {
    const { topK } = config;
    const route = await DeviceRoute.create(driver, library, resolveRouterConfig(config), 0n);
    return {
      device: driver.info.name,
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
          await route.prepare({ tokens });
          const { median } = await measureLaunches(driver, stream, MEASURE, () => route.enqueue(stream, call));
          return median;
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
