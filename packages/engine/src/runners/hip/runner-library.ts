/**
 * The kernels of the runner on one device: shipped objects first.
 */

import { KernelLibrary, kernelKey, prebuiltLookup } from '@switchyard/gpu';
import type { GpuDriver, KernelLibraryOptions, PrebuiltLookup } from '@switchyard/gpu';

/** Archives of code objects, a file an architecture, and what they were built from (`npm run kernels`). */
export const PREBUILT_FOLDER = new URL('../../../kernels/hip/prebuilt/', import.meta.url);

const find = prebuiltLookup(PREBUILT_FOLDER);
/** By all that a kernel is compiled from, so that kernels of another text or shape are compiled. */
const findObject: PrebuiltLookup = (architecture, symbol, unit) => find(architecture, kernelKey(unit, symbol));

/** A library that takes shipped objects first, and compiles what they do not cover. The caller disposes of it. */
export function openRunnerLibrary(
  driver: GpuDriver,
  options: Omit<KernelLibraryOptions, 'prebuilt'> = {},
): KernelLibrary {
  // All of them are for AMD's: for others no kernel's text need be read.
  return new KernelLibrary(driver, { ...options, ...(driver.platform === 'amd' ? { prebuilt: findObject } : {}) });
}
