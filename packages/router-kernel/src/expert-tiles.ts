/** Row tiles of experts: the lists, how long they are, and how they lie in one run of memory on a device. */

import type { ExpertTileRows, ExpertTiles, ResolvedRouterConfig } from './contract.ts';

/** What decides how long the lists are. */
export interface ExpertTileShape {
  /** E. */
  readonly experts: number;
  /** K. */
  readonly topK: number;
  /** Rows of a tile. */
  readonly expertTiles: ExpertTileRows;
}

/**
 * The most tiles that T tokens can make. With S = T * K slots: each slot a tile where they are as few as the experts;
 * else one tile for each expert and one for every `expertTiles` slots beyond. A token goes to an expert once, so an expert
 * has no more than T rows.
 */
export function expertTileCapacity({ experts, topK, expertTiles }: ExpertTileShape, tokens: number): number {
  const slots = tokens * topK;
  const mostOfExpert = Math.ceil(tokens / expertTiles);
  return Math.min(slots, experts + Math.floor(Math.max(0, slots - experts) / expertTiles), experts * mostOfExpert);
}

/** The shape of a configuration's tiles; null where it asks for none. */
export function tileShapeOf({ experts, topK, expertTiles }: ResolvedRouterConfig): ExpertTileShape | null {
  return expertTiles === null ? null : { experts, topK, expertTiles };
}

/** The logarithm to base 2 of a tile's rows; 0 where no tiles are listed. */
export function tileShiftOf({ expertTiles }: Pick<ResolvedRouterConfig, 'expertTiles'>): number {
  return expertTiles === null ? 0 : Math.log2(expertTiles);
}

/** i32 elements of all lists one after the other: counts, activeExperts, tileExperts, tileStarts. */
export function expertTilesLength(shape: ExpertTileShape, tokens: number): number {
  return 2 + shape.experts + 2 * expertTileCapacity(shape, tokens);
}

/** The lists in memory that holds them one after the other: `expertTilesLength` elements. */
export function viewExpertTiles(lists: Int32Array, { experts }: Pick<ExpertTileShape, 'experts'>): ExpertTiles {
  const first = 2 + experts;
  const capacity = (lists.length - first) / 2;
  return {
    counts: lists.subarray(0, 2),
    activeExperts: lists.subarray(2, first),
    tileExperts: lists.subarray(first, first + capacity),
    tileStarts: lists.subarray(first + capacity),
  };
}

/** Lists for T tokens, not yet filled. */
export function createExpertTiles(shape: ExpertTileShape, tokens: number): ExpertTiles {
  return viewExpertTiles(new Int32Array(expertTilesLength(shape, tokens)), shape);
}

/**
 * Fills the lists.
 *
 * @param expertOffsets i32 [E + 1], of a dispatch plan
 * @param rows of a tile
 */
export function writeExpertTiles(expertOffsets: Int32Array, rows: ExpertTileRows, lists: ExpertTiles): void {
  const { counts, activeExperts, tileExperts, tileStarts } = lists;
  let active = 0;
  let tiles = 0;
  for (let expert = 0; expert + 1 < expertOffsets.length; expert++) {
    const end = expertOffsets[expert + 1] as number;
    let start = expertOffsets[expert] as number;
    if (start < end) activeExperts[active++] = expert;
    for (; start < end; start += rows) {
      tileExperts[tiles] = expert;
      tileStarts[tiles++] = start;
    }
  }
  activeExperts.fill(-1, active);
  tileExperts.fill(-1, tiles);
  tileStarts.fill(-1, tiles);
  counts[0] = active;
  counts[1] = tiles;
}
