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
}

/** Rows of a group: mxfp4_group.hip. */
export const GROUP_ROWS = 16;
/** Threads of a block that multiplies groups. */
export const GROUP_THREADS = 256;

const LANES: Mxfp4Product = {
  parts: ['mxfp4_group', 'mxfp4_group_lanes', 'shared_vectors'],
  sharedParts: ['shared_copies'],
};
const TILES: Mxfp4Product = {
  parts: ['mxfp4_group', 'mxfp4_group_tiles', 'shared_vectors'],
  sharedParts: ['shared_copies', 'bf16_products'],
};
/**
 * Whether products of decoding are of bf16 tiles with f32 sums (bf16_products.hip): NVIDIA's GPUs multiply them from compute
 * capability 8.0 on.
 */
export function multipliesBf16Tiles({ vendor, architecture }: KernelTarget): boolean {
  return vendor === 'nvidia' && Number(/^sm_(\d+)/.exec(architecture)?.[1] ?? 0) >= 80;
}

/**
 * Whether kernels may copy to shared memory in bulk (bulk_copies.hip), and have up to MOST_SHARED_BYTES of it: NVIDIA's GPUs
 * for servers from compute capability 9.0 on.
 */
export function copiesInBulk({ vendor, architecture }: KernelTarget): boolean {
  return vendor === 'nvidia' && /^sm_(?:90|100|103)[af]?$/.test(architecture);
}
/** 227 KiB, less what kernels declare. */
export const MOST_SHARED_BYTES = 223 * 1024;

export function mxfp4Product(target: KernelTarget): Mxfp4Product {
  return multipliesBf16Tiles(target) ? TILES : LANES;
}
