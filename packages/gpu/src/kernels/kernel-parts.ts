/**
 * The parts that kernels of several packages share. Kernel source is text: header-free parts, concatenated in an order
 * that is written as data, so that hipRTC, NVRTC, clang and the caches all see the same bytes.
 */

import { readFileSync } from 'node:fs';

/** A part under kernels/; each needs those before it. */
export const SHARED_PARTS = [
  'platform',
  'wave',
  'overlap',
  'lane_exchange',
  'sums_by_lane',
  'number_formats',
  'streamed_loads',
  'written_halves',
  'loads_ahead',
  'device_words',
  'sorted_lists',
  'shared_copies',
  'bulk_copies',
  'exact_doubles',
  'bf16_products',
  'matrix_tile',
  'matrix_tile_mma_sync',
  'matrix_tile_mfma',
  'matrix_tile_wmma',
  'matrix_tile_lanes',
  'matrix_tile_products',
  'matrix_groups',
  'matrix_row_groups',
] as const;
export type SharedPart = (typeof SHARED_PARTS)[number];

/** Matrix tiles: the contract, then every form of it, and products from their steps. A target compiles one form. */
export const MATRIX_TILE_PARTS = [
  'matrix_tile',
  'matrix_tile_mma_sync',
  'matrix_tile_mfma',
  'matrix_tile_wmma',
  'matrix_tile_lanes',
  'matrix_tile_products',
] as const satisfies readonly SharedPart[];

/** The file of a shared part. */
export function sharedPart(name: SharedPart): URL {
  return new URL(`../../kernels/${name}.hip`, import.meta.url);
}

/** The text of a translation unit: its parts, in order. It includes nothing and is specialised by macros. */
export function joinParts(parts: readonly URL[]): string {
  return parts.map((part) => readFileSync(part, 'utf8')).join('\n');
}
