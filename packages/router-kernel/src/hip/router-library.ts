/** The kernels of the router on one device. */

import { KernelLibrary } from '@switchyard/gpu';
import type { GpuDriver, KernelLibraryOptions } from '@switchyard/gpu';
import { findPrebuiltObject } from './kernel/prebuilt-kernels.ts';

/** A library that takes shipped objects first, and compiles what they do not cover. The caller disposes of it. */
export function openRouterLibrary(
  driver: GpuDriver,
  options: Omit<KernelLibraryOptions, 'prebuilt'> = {},
): KernelLibrary {
  // All of them are for AMD's: for others the manifest need not be read.
  const prebuilt = driver.platform === 'amd' ? { prebuilt: findPrebuiltObject } : {};
  return new KernelLibrary(driver, { ...options, ...prebuilt });
}
