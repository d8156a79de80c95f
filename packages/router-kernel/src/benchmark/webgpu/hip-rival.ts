/** The HIP router beside `bench --backend webgpu`: the same logits, on the same GPU. */

import { openGpuDriver, uploadBytes } from '@switchyard/gpu';
import type { DeviceBuffer } from '@switchyard/gpu';
import type { Benchmark } from '@switchyard/gpu/benchmark';
import type { Logits } from '../../contract.ts';
import { openRouterLibrary } from '../../hip/router-library.ts';
import { baselineContender, ownContender } from '../hip/contenders.ts';
import type { Contender } from '../hip/contender.ts';
import type { MeasureOptions } from '../hip/launch-timer.ts';
import { readyContender } from '../hip/ready-contender.ts';
import type { ReadyContender } from '../hip/ready-contender.ts';
import type { BenchmarkShape } from '../logits.ts';

/** The HIP router's kernel, ready for any number of tokens. */
export interface HipRival {
  /** The GPU's name. */
  readonly device: string;
  /**
   * Loads logits [T, E] and checks. What it gives are `hip_ordinary` (each launch waits for the one before it, as
   * WebGPU's dispatches do), `hip` (each begins while the one before it ends, where the GPU can) and `hip_empty` (one
   * block that does nothing), as far as their answers are right.
   */
  load(benchmark: Benchmark, logits: Logits, tokens: number): Promise<LoadedHipRival>;
  dispose(): void;
}

/** Contenders whose memory is the device's. */
export interface LoadedHipRival extends Disposable {
  readonly contenders: readonly ReadyContender[];
}

/** Opens the HIP backend. @throws BackendUnavailableError, KernelCompileError */
export async function openHipRival(shape: BenchmarkShape, measure: MeasureOptions): Promise<HipRival> {
  const driver = openGpuDriver();
  const library = openRouterLibrary(driver);
  const stream = driver.createStream();
  const dispose = (): void => {
    library.dispose();
    stream.destroy();
    driver.dispose();
  };
  try {
    const named: (readonly [name: string, contender: Contender | null])[] = [
      ['hip_ordinary', await ownContender('switchyard_ordinary', shape, driver, library)],
      ['hip', await ownContender('switchyard', shape, driver, library)],
      ['hip_empty', await baselineContender('empty', shape, driver, library)],
    ];
    return {
      device: driver.info.name,
      load: async (benchmark, logits, tokens) => {
        const buffers: DeviceBuffer[] = [];
        const contenders: ReadyContender[] = [];
        const release = (): void => {
          for (const one of contenders) one[Symbol.dispose]();
          for (const buffer of buffers) buffer.free();
        };
        const allocate = (bytes: number): DeviceBuffer => {
          const buffer = driver.allocate(bytes);
          buffers.push(buffer);
          return buffer;
        };
        try {
          const slots = tokens * shape.topK;
          const set = { logits: allocate(logits.byteLength), weights: allocate(slots * 4), ids: allocate(slots * 4) };
          const host = new Uint8Array(logits.buffer, logits.byteOffset, logits.byteLength);
          await uploadBytes(driver, stream, set.logits.pointer, host);
          for (const [name, contender] of named) {
            if (contender === null) continue;
            const problem = { driver, stream, shape, tokens, logits, sets: [set], measure } as const;
            const one = await readyContender(benchmark, problem, contender, name);
            if (one !== null) contenders.push(one);
          }
          return { contenders, [Symbol.dispose]: release };
        } catch (error) {
          release();
          throw error;
        }
      },
      dispose,
    };
  } catch (error) {
    dispose();
    throw error;
  }
}
