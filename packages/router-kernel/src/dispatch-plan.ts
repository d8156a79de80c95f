/**
 * The dispatch plan: slots grouped by expert, so that each expert reads its rows as one block. A counting sort:
 * count, sum up, place.
 */

import type { DispatchPlan, ExpertIds } from './contract.ts';
import { InvalidArgumentError } from './errors.ts';
import { createExpertTiles, writeExpertTiles } from './expert-tiles.ts';
import type { ExpertTileShape } from './expert-tiles.ts';
import { isTypedArray } from './typed-arrays.ts';

/**
 * Groups slots by expert.
 *
 * @param ids expert ids of T * K slots, each -1 (in no plan; 0xFFFFFFFF as u32) or in [0, experts)
 * @param experts E
 * @param tiles the row tiles to list, whose `experts` are E. Defaults to none
 * @throws InvalidArgumentError for an id that is neither -1 nor in range
 */
export function buildDispatchPlan(ids: ExpertIds, experts: number, tiles: ExpertTileShape | null = null): DispatchPlan {
  const plan = { expertOffsets: new Int32Array(experts + 1), sortedSlots: new Int32Array(ids.length) };
  buildDispatchPlanInto(idsAsI32(ids), ids.length, plan);
  if (tiles === null) return plan;
  const expertTiles = createExpertTiles(tiles, ids.length / tiles.topK);
  writeExpertTiles(plan.expertOffsets, tiles.expertTiles, expertTiles);
  return { ...plan, expertTiles };
}

/**
 * The same into arrays of the caller, without allocating.
 *
 * @param ids i32, the first `slots` of which are sorted
 * @param slots T * K
 * @param plan expertOffsets [E + 1] (its length gives E) and sortedSlots [>= slots]; nothing past `slots` is written
 * @throws InvalidArgumentError for an id that is neither -1 nor in range, or where sortedSlots is too short
 */
export function buildDispatchPlanInto(ids: Int32Array, slots: number, plan: DispatchPlan): void {
  const { expertOffsets, sortedSlots } = plan;
  const experts = expertOffsets.length - 1;
  if (sortedSlots.length < slots || ids.length < slots) {
    throw new InvalidArgumentError(
      'sortedSlots',
      sortedSlots,
      `A plan of ${slots} slots needs as many ids and sortedSlots · found ${ids.length} and ${sortedSlots.length} · make both as long`,
    );
  }
  // Loops and no fill or copyWithin, here and below: those are calls out of compiled code, and a layer of a decode step has a
  // plan of a few slots.
  for (let expert = 0; expert <= experts; expert++) expertOffsets[expert] = 0;
  // Two places past its expert: once they are summed up, an expert's start stands where its end is to be, to which placing
  // moves it.
  for (let slot = 0; slot < slots; slot++) {
    const id = ids[slot] as number;
    if (id < -1 || id >= experts) {
      throw new InvalidArgumentError(
        'ids',
        id,
        `Ids are -1 or from 0 to ${experts - 1} · found ${id} in slot ${slot} · pass the ids of a router with ${experts} experts`,
      );
    }
    if (id !== -1 && id + 2 <= experts) (expertOffsets[id + 2] as number)++;
  }
  let placed = 0;
  for (let expert = 2; expert <= experts; expert++) {
    placed += expertOffsets[expert] as number;
    expertOffsets[expert] = placed;
  }
  for (let slot = 0; slot < slots; slot++) {
    const id = ids[slot] as number;
    if (id === -1) continue;
    const position = expertOffsets[id + 1] as number;
    sortedSlots[position] = slot;
    expertOffsets[id + 1] = position + 1;
  }
  for (let slot = expertOffsets[experts] as number; slot < slots; slot++) sortedSlots[slot] = -1;
}

function idsAsI32(ids: ExpertIds): Int32Array {
  if (isTypedArray(ids, 'Int32Array')) return ids;
  if (isTypedArray(ids, 'Uint32Array')) return new Int32Array(ids.buffer, ids.byteOffset, ids.length);
  return Int32Array.from(ids, Number);
}
