/**
 * How a block multiplies a group of rows of an MXFP4 matrix with vectors (kernels/hip/parts/mxfp4_group.hip): the way that
 * the target's instructions allow.
 */

import type { KernelTarget, SharedPart } from '@switchyard/gpu';

/** A way to multiply. */
export interface Mxfp4Product {
  /** Parts of the kernels' text, and those of them that packages/gpu has. */
  readonly parts: readonly string[];
  readonly sharedParts: readonly SharedPart[];
  /** Vectors that a block has room for in shared memory. */
  readonly vectors: number;
}

/** Rows of a group: mxfp4_group.hip. */
export const GROUP_ROWS = 16;
/** Threads of a block that multiplies groups. */
export const GROUP_THREADS = 256;

const LANES: Mxfp4Product = {
  parts: ['mxfp4_group', 'mxfp4_group_lanes', 'shared_vectors'],
  sharedParts: ['shared_copies'],
  vectors: 4,
};
const TILES: Mxfp4Product = {
  parts: ['mxfp4_group', 'mxfp4_group_tiles', 'shared_vectors'],
  sharedParts: ['shared_copies', 'bf16_products'],
  vectors: 2,
};
/** The fewest vectors of any way. */
export const FEWEST_VECTORS = Math.min(LANES.vectors, TILES.vectors);

/** NVIDIA's GPUs multiply tiles of bf16 with f32 sums from compute capability 8.0 on. */
export function mxfp4Product({ vendor, architecture }: KernelTarget): Mxfp4Product {
  return vendor === 'nvidia' && Number(/^sm_(\d+)/.exec(architecture)?.[1] ?? 0) >= 80 ? TILES : LANES;
}
