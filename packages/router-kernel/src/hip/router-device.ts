/** What a router on a GPU opens before it loads its first kernel. */

import { addressOf, CompileCache, openGpuDriver } from '@switchyard/gpu';
import type {
  DeviceBuffer,
  DeviceChoice,
  GpuDriver,
  GpuPlatform,
  GpuStream,
  KernelCompiler,
  KernelLibrary,
} from '@switchyard/gpu';
import type { Logger } from '@switchyard/gpu/logger';
import { InvalidConfigError } from '../errors.ts';
import { knownOptions, refuseUnknownOptions } from '../known-options.ts';
import { openRouterLibrary } from './router-library.ts';

/** How a HIP router is made. Other names are refused with InvalidConfigError. */
export interface HipRouterOptions {
  readonly logger?: Logger;
  /**
   * The GPU: a position in its list (AMD's first), `'amd:1'`, `'nvidia:0'`, an architecture or a part of a name. Defaults
   * to what the environment variable SWITCHYARD_DEVICE names, else to a discrete GPU before an integrated one.
   */
  readonly device?: DeviceChoice;
  /** Whose GPU. Defaults to AMD's or NVIDIA's. */
  readonly platform?: GpuPlatform;
  /** A driver to share. It stays the caller's to dispose of, after the router. Defaults to one of the router's own. */
  readonly driver?: GpuDriver;
  /** Where compiled kernels are kept. Defaults to `defaultCacheFolder()`. */
  readonly cacheFolder?: string;
  /**
   * Compiles shapes that no ahead-of-time object covers, or opens what does at the first of them. Defaults to hipRTC or
   * NVRTC.
   */
  readonly compiler?: KernelCompiler | (() => KernelCompiler);
  /**
   * `'all'` loads the kernels of every T for contiguous rows now, so that `enqueue` may be captured at once. `'none'`
   * leaves them to `prepare` and to the first `route` that needs them. Defaults to `'all'`.
   */
  readonly prepare?: 'all' | 'none';
}

const ROUTER_OPTIONS = knownOptions<HipRouterOptions>('HIP router option', InvalidConfigError, {
  logger: true,
  device: true,
  platform: true,
  driver: true,
  cacheFolder: true,
  compiler: true,
  prepare: true,
});

/** A device with a library of kernels, and what has to be released in the end, in order. */
export interface RouterDevice {
  readonly driver: GpuDriver;
  readonly library: KernelLibrary;
  readonly owned: Array<() => void>;
}

/** Opens the GPU that options name, unless they bring a driver. Throws as `createHipRouter`. */
export function openRouterDevice(options: HipRouterOptions): RouterDevice {
  refuseUnknownOptions(ROUTER_OPTIONS, options);
  const { logger, device, platform } = options;
  const driver =
    options.driver ??
    openGpuDriver({
      ...(device === undefined ? {} : { device }),
      ...(platform === undefined ? {} : { platform }),
    });
  const cache = new CompileCache({
    ...(options.cacheFolder === undefined ? {} : { folder: options.cacheFolder }),
    ...(logger === undefined ? {} : { logger }),
  });
  const library = openRouterLibrary(driver, {
    cache,
    ...(options.compiler === undefined ? {} : { compiler: options.compiler }),
    ...(logger === undefined ? {} : { logger }),
  });
  const owned: Array<() => void> = [() => library.dispose()];
  if (options.driver === undefined) owned.push(() => driver.dispose());
  return { driver, library, owned };
}

/** A buffer with an array's bytes. */
export async function uploadArray(driver: GpuDriver, stream: GpuStream, array: ArrayBufferView): Promise<DeviceBuffer> {
  const buffer = driver.allocate(array.byteLength);
  try {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    driver.copyToDevice(buffer.pointer, addressOf(bytes), bytes.byteLength, stream);
    await stream.synchronize();
    return buffer;
  } catch (error) {
    buffer.free();
    throw error;
  }
}
