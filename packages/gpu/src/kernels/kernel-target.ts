/** What kernels are compiled for. */

/** A kind of GPU, as a compiler knows it. */
export interface KernelTarget {
  readonly vendor: 'amd' | 'nvidia';
  /** Such as `'gfx942'` or `'sm_90'`. */
  readonly architecture: string;
  /** Lanes of a wave: 64 on gfx9, 32 on gfx10 and later and on NVIDIA. */
  readonly waveSize: 32 | 64;
}
