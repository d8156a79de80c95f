/** Slots (token * K + k) of rows that are neighbours in two orders: where a run begins in both, and how many it has. */
export interface SlotRun {
  readonly from: number;
  readonly to: number;
  count: number;
}

/**
 * The runs of a pass's rows, from their order in the pass to that in the batch.
 *
 * @param placeOf a row's place in the batch.
 */
export function slotRuns<Row>(
  rows: readonly Row[],
  slotsEach: number,
  placeOf: (row: Row) => number,
): readonly SlotRun[] {
  const runs: SlotRun[] = [];
  for (const [index, row] of rows.entries()) {
    const place = placeOf(row);
    const last = runs.at(-1);
    if (last !== undefined && last.to + last.count === place * slotsEach) last.count += slotsEach;
    else runs.push({ from: index * slotsEach, to: place * slotsEach, count: slotsEach });
  }
  return runs;
}
