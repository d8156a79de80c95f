/**
 * The K largest of a row, by insertion into a short sorted list. After a few elements hardly any passes the K-th best,
 * so that a row costs about one comparison an element.
 */

import { idOfSortKey, LEAST_SORT_KEY, sortKey } from './sort-keys.ts';

/**
 * Selects from 16-bit logits by packed keys.
 *
 * @param row bits; the row starts at `start` and has `experts` elements
 * @param infinityBits which format it is: see sort-keys.ts
 * @param keys scratch of K elements; holds the winners' keys afterwards
 * @param ids receives the K ids from `idsStart`, best first
 */
export function selectFromBits(
  row: Uint16Array,
  start: number,
  experts: number,
  infinityBits: number,
  keys: Int32Array,
  ids: Int32Array,
  idsStart: number,
): void {
  const last = keys.length - 1;
  keys.fill(LEAST_SORT_KEY);
  let threshold = LEAST_SORT_KEY;
  for (let id = 0; id < experts; id++) {
    const key = sortKey(row[start + id] as number, infinityBits, id);
    if (key <= threshold) continue;
    let slot = last;
    while (slot > 0 && (keys[slot - 1] as number) < key) {
      keys[slot] = keys[slot - 1] as number;
      slot--;
    }
    keys[slot] = key;
    threshold = keys[last] as number;
  }
  for (let k = 0; k <= last; k++) ids[idsStart + k] = idOfSortKey(keys[k] as number);
}

/**
 * Selects from f32 values: float comparison already takes -0 for +0, and scanning upwards keeps the lower id of equals.
 *
 * @param row the row starts at `start` and has `experts` elements
 * @param best scratch of K elements; holds the winners' values above -Infinity afterwards
 * @param ids receives the K ids from `idsStart`, best first
 */
export function selectFromValues(
  row: Float32Array,
  start: number,
  experts: number,
  best: Float32Array,
  ids: Int32Array,
  idsStart: number,
): void {
  const last = best.length - 1;
  // A loop and no fill, which is a call out of compiled code for a few elements.
  for (let k = 0; k <= last; k++) best[k] = -Infinity;
  let threshold = -Infinity;
  let passed = 0;
  for (let id = 0; id < experts; id++) {
    // Hardly any element passes: four that do not cost one turn.
    while (
      id + 4 <= experts &&
      !((row[start + id] as number) > threshold) &&
      !((row[start + id + 1] as number) > threshold) &&
      !((row[start + id + 2] as number) > threshold) &&
      !((row[start + id + 3] as number) > threshold)
    ) {
      id += 4;
    }
    if (id === experts) break;
    const value = row[start + id] as number;
    // False for NaN and -Infinity too: those are ranked below, if they are needed at all.
    if (!(value > threshold)) continue;
    passed++;
    let slot = last;
    while (slot > 0 && (best[slot - 1] as number) < value) {
      best[slot] = best[slot - 1] as number;
      ids[idsStart + slot] = ids[idsStart + slot - 1] as number;
      slot--;
    }
    best[slot] = value;
    ids[idsStart + slot] = id;
    threshold = best[last] as number;
  }
  if (passed <= last) appendUnranked(row, start, experts, ids, idsStart + passed, idsStart + last);
}

/** Fills ids [from, to] with the -Infinity of the row by rising id, then with its NaN. */
function appendUnranked(
  row: Float32Array,
  start: number,
  experts: number,
  ids: Int32Array,
  from: number,
  to: number,
): void {
  let position = from;
  for (let id = 0; id < experts && position <= to; id++) {
    if (row[start + id] === -Infinity) ids[position++] = id;
  }
  for (let id = 0; id < experts && position <= to; id++) {
    if (Number.isNaN(row[start + id])) ids[position++] = id;
  }
}
