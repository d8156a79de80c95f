/** What kernels are compiled for. */

import { isGeneric, refuseUnsupported, waveSizeOf } from '../driver/architectures.ts';

/** A kind of GPU, as a compiler knows it. */
export interface KernelTarget {
  readonly vendor: 'amd' | 'nvidia';
  /** Such as `'gfx942'`, `'gfx11-generic'` (one of LLVM's generic processors) or `'sm_90'`. */
  readonly architecture: string;
  /**
   * Settings of an AMD GPU that the code is for, such as `':sramecc+:xnack-'`. Defaults to none: the code runs under any.
   */
  readonly features?: string;
  /** Lanes of a wave: 64 on gfx9, 32 on gfx10 and later and on NVIDIA. */
  readonly waveSize: 32 | 64;
}

const AMD_TARGET = /^(gfx(?:[0-9a-f]{3,4}|\d+(?:-\d+)?-generic))((?::(?:sramecc|xnack)[+-])*)$/;

/**
 * Reads a target as AMD's tools (`'gfx90a:sramecc+:xnack-'`) and NVIDIA's (`'sm_90a'`) write it; null where it is neither.
 *
 * @throws UnsupportedArchitectureError for AMD GPUs before gfx9
 */
export function parseKernelTarget(text: string): KernelTarget | null {
  if (/^sm_[0-9]{2,3}[af]?$/.test(text)) return { vendor: 'nvidia', architecture: text, waveSize: 32 };
  const [, architecture = '', suffix = ''] = AMD_TARGET.exec(text) ?? [];
  if (architecture === '' || (architecture.endsWith('generic') && !isGeneric(architecture))) return null;
  refuseUnsupported(architecture);
  const target = { vendor: 'amd', architecture, waveSize: waveSizeOf(architecture) } as const;
  if (suffix === '') return target;
  const features = suffix.slice(1).split(':').sort();
  const names = new Set(features.map((feature) => feature.slice(0, -1)));
  return names.size === features.length ? { ...target, features: `:${features.join(':')}` } : null;
}

/** A target as its compiler is told it: the architecture, and the settings where there are any. */
export function compilerName({ architecture, features = '' }: KernelTarget): string {
  return architecture + features;
}
