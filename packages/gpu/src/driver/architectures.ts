/** GPU architectures by name. */

import { UnsupportedArchitectureError } from './errors.ts';

/** Lanes of a wave by architecture: gfx9 (GCN 5, CDNA) runs 64, gfx10 and later (RDNA) and NVIDIA 32. */
export function waveSizeOf(architecture: string): 32 | 64 {
  return /^gfx9[0-9a-f]{2}$/.test(architecture) ? 64 : 32;
}

/**
 * Refuses AMD GPUs older than gfx9, for which the shared kernel parts are not written.
 *
 * @throws UnsupportedArchitectureError
 */
export function refuseUnsupported(architecture: string): void {
  // The last two characters are minor version and stepping: gfx803 is gfx8, gfx1030 is gfx10.
  const generation = /^gfx(\d{1,2})[0-9a-f]{2}$/.exec(architecture)?.[1];
  if (generation === undefined || Number(generation) >= 9) return;
  throw new UnsupportedArchitectureError(architecture);
}

/** Whether `refuseUnsupported` lets an architecture pass. */
export function isSupported(architecture: string): boolean {
  try {
    refuseUnsupported(architecture);
    return true;
  } catch (error) {
    if (error instanceof UnsupportedArchitectureError) return false;
    throw error;
  }
}
