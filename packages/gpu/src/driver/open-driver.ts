/** Finding a GPU. */

import { BackendUnavailableError } from '../errors.ts';
import { NoGpuError } from './errors.ts';
import { openAmdRuntime } from './amd.ts';
import type { GpuDriver, GpuPlatform } from './gpu-driver.ts';
import type { NativeRuntime } from './native-calls.ts';
import { NativeGpuDriver } from './native-driver.ts';
import { openNvidiaRuntime } from './nvidia.ts';
import { type LibraryLoader, loadSharedLibrary } from './shared-library.ts';

/** Which GPU to open. */
export interface OpenGpuDriverOptions {
  /** The runtime to ask. Defaults to AMD's, then NVIDIA's. */
  readonly platform?: GpuPlatform;
  /** The device's index in that runtime's order. Defaults to 0. */
  readonly device?: number;
  /** How libraries are loaded. Defaults to the dynamic linker. */
  readonly loader?: LibraryLoader;
}

type OpenRuntime = (index: number, loader: LibraryLoader) => NativeRuntime;

const RUNTIMES: Readonly<Record<GpuPlatform, OpenRuntime>> = { amd: openAmdRuntime, nvidia: openNvidiaRuntime };

/**
 * Opens a GPU.
 *
 * @throws the named platform's own error (GpuLibraryNotFoundError, DriverTooOldError, NoGpuError); NoGpuError with
 * both platforms' reasons in `tried` where no platform is named and neither has a device
 */
export function openGpuDriver(options: OpenGpuDriverOptions = {}): GpuDriver {
  const { platform, device = 0, loader = loadSharedLibrary } = options;
  if (platform !== undefined) return new NativeGpuDriver(RUNTIMES[platform](device, loader));
  const tried: string[] = [];
  for (const candidate of ['amd', 'nvidia'] as const) {
    try {
      return new NativeGpuDriver(RUNTIMES[candidate](device, loader));
    } catch (error) {
      if (!(error instanceof BackendUnavailableError)) throw error;
      tried.push(`${candidate}: ${error.message}`);
    }
  }
  const advice = 'install an AMD or NVIDIA driver, or use backend "cpu"';
  throw new NoGpuError('hip', `No GPU could be opened · ${tried.join(' | ')} · ${advice}`, tried);
}
