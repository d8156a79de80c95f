/** GPU architectures by name. */

import { UnsupportedArchitectureError } from './errors.ts';

/** Lanes of a wave by architecture: gfx9 (GCN 5, CDNA) runs 64, gfx10 and later (RDNA) and NVIDIA 32. */
export function waveSizeOf(architecture: string): 32 | 64 {
  return /^gfx9(?:[0-9a-f]{2}|(?:-\d+)?-generic)$/.test(withoutFeatures(architecture)) ? 64 : 32;
}

/** An architecture without the settings that AMD names beside it: `gfx90a` of `gfx90a:sramecc+:xnack-`. */
export function withoutFeatures(architecture: string): string {
  return architecture.replace(/(?::(?:sramecc|xnack)[+-])+$/, '');
}

/**
 * LLVM's generic processors and the GPUs that run their code (LLVM's AMDGPUUsage, "Generic processors"). ROCm from 6.4 on
 * loads an object for one of them where it finds none for the GPU itself.
 */
const GENERIC_TARGETS: Readonly<Record<string, readonly string[]>> = {
  'gfx9-generic': ['gfx900', 'gfx902', 'gfx904', 'gfx906', 'gfx909', 'gfx90c'],
  'gfx9-4-generic': ['gfx942', 'gfx950'],
  'gfx10-1-generic': ['gfx1010', 'gfx1011', 'gfx1012', 'gfx1013'],
  'gfx10-3-generic': ['gfx1030', 'gfx1031', 'gfx1032', 'gfx1033', 'gfx1034', 'gfx1035', 'gfx1036'],
  'gfx11-generic': ['gfx1100', 'gfx1101', 'gfx1102', 'gfx1103', 'gfx1150', 'gfx1151', 'gfx1152', 'gfx1153'],
  'gfx12-generic': ['gfx1200', 'gfx1201'],
};

/** Whether an architecture is one of LLVM's generic processors, whose objects need code object version 6. */
export function isGeneric(architecture: string): boolean {
  return architecture in GENERIC_TARGETS;
}

/** The generic processor whose code a GPU runs, such as `gfx11-generic` for `gfx1102`; null where there is none. */
export function genericTargetOf(architecture: string): string | null {
  const found = Object.entries(GENERIC_TARGETS).find(([, members]) => members.includes(architecture));
  return found?.[0] ?? null;
}

/**
 * Refuses AMD GPUs older than gfx9, for which the shared kernel parts are not written.
 *
 * @throws UnsupportedArchitectureError
 */
export function refuseUnsupported(architecture: string): void {
  // The last two characters are minor version and stepping: gfx803 is gfx8, gfx1030 is gfx10.
  const generation = /^gfx(\d{1,2})[0-9a-f]{2}$/.exec(withoutFeatures(architecture))?.[1];
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
