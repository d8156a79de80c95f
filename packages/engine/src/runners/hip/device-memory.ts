/**
 * The memory of the GPU that a model would be loaded into.
 */

import { openGpuDriver } from '@switchyard/gpu';
import type { DeviceChoice } from '@switchyard/gpu';
import type { ProcessMemory } from '../../memory/process-memory.ts';

/**
 * Opens the GPU for a moment.
 *
 * @param device as `openGpuDriver` takes it
 * @throws BackendUnavailableError where there is none
 */
export function deviceMemory(device?: DeviceChoice): ProcessMemory {
  using driver = openGpuDriver(device === undefined ? {} : { device });
  const { free, total } = driver.memory();
  return { availableBytes: free, totalBytes: total };
}
