/** The dispatch plan's WGSL for one configuration. */

import { expandParts } from '@switchyard/gpu/webgpu';
import type { ResolvedRouterConfig } from '../../contract.ts';
import type { ExpertTileShape } from '../../expert-tiles.ts';
import { nextPowerOfTwo } from './sorting-network.ts';
import { PLAN_PARTS, TILES_PARTS } from './source.ts';

/** Slots that one workgroup sorts. */
export const PLAN_BLOCK = 1024;
/** Up to this many blocks, each adds up the counts of all for itself, which spares a dispatch. */
export const SUMMED_BLOCKS = 64;
/** Invocations that sort a block. */
const WORKGROUP_SIZE = 256;

/** Generates the WGSL of the entry points `plan_single`, `plan_count`, `plan_scan` and `plan_place`. */
export function planShader(config: ResolvedRouterConfig): string {
  return expandParts(PLAN_PARTS, {
    repeats: 0,
    flags: {},
    texts: {
      EXPERTS: config.experts,
      WORDS_PER_ID: config.idsDtype === 'i64' ? 2 : 1,
      WORKGROUP_SIZE,
      BLOCK: PLAN_BLOCK,
      SUMMED_BLOCKS,
    },
  });
}

/** Tiles that one workgroup lists, or more where there are very many. */
const TILES_PER_WORKGROUP = 4 * WORKGROUP_SIZE;
const MOST_TILE_WORKGROUPS = 64;

/** Generates the WGSL of the entry point `list_tiles`. */
export function tilesShader({ experts, expertTiles }: ExpertTileShape): string {
  return expandParts(TILES_PARTS, {
    repeats: 0,
    flags: {},
    texts: {
      EXPERTS: experts,
      EXPERTS_POWER_OF_TWO: nextPowerOfTwo(experts),
      TILE_ROWS: expertTiles,
      WORKGROUP_SIZE,
    },
  });
}

/** The workgroups that list so many tiles. */
export function tileWorkgroups(capacity: number): number {
  return Math.min(MOST_TILE_WORKGROUPS, Math.max(1, Math.ceil(capacity / TILES_PER_WORKGROUP)));
}
