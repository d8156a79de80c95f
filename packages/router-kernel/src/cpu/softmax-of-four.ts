/**
 * The commonest row at once: f32 logits, the four largest, and the softmax over them. What `selectFromValues` and
 * `WeightWriter` do for it, with winners in registers and each exponential computed once: the same bits.
 */

/** The K that `routeFour` has. */
export const FOUR = 4;

/**
 * Routes one row.
 *
 * @param row logits; the row starts at `start` and has `experts` elements
 * @param scale that weights are multiplied with, finite in f32
 * @param ids receives four ids from `outStart`, best first
 * @param weights receives four weights from `outStart`
 * @returns whether it did: false, with nothing written, where the row's fourth winner is no number above -Infinity, or its
 * first is Infinity
 */
export function routeFour(
  row: Float32Array,
  start: number,
  experts: number,
  scale: number,
  ids: Int32Array,
  weights: Float32Array,
  outStart: number,
): boolean {
  let first = -Infinity;
  let second = -Infinity;
  let third = -Infinity;
  let fourth = -Infinity;
  let firstId = 0;
  let secondId = 0;
  let thirdId = 0;
  let fourthId = 0;
  for (let id = 0; id < experts; id++) {
    const value = row[start + id] as number;
    // False for NaN too; and of equals the lower id, which came before, stays where it is.
    if (!(value > fourth)) continue;
    if (!(value > third)) {
      fourth = value;
      fourthId = id;
      continue;
    }
    fourth = third;
    fourthId = thirdId;
    if (!(value > second)) {
      third = value;
      thirdId = id;
      continue;
    }
    third = second;
    thirdId = secondId;
    if (!(value > first)) {
      second = value;
      secondId = id;
      continue;
    }
    second = first;
    secondId = firstId;
    first = value;
    firstId = id;
  }
  if (fourth === -Infinity || first === Infinity) return false;
  ids[outStart] = firstId;
  ids[outStart + 1] = secondId;
  ids[outStart + 2] = thirdId;
  ids[outStart + 3] = fourthId;
  const a = Math.exp(second - first);
  const b = Math.exp(third - first);
  const c = Math.exp(fourth - first);
  const sum = 1 + a + b + c;
  // No share is above 1: none passes what f32 holds.
  weights[outStart] = (1 / sum) * scale;
  weights[outStart + 1] = (a / sum) * scale;
  weights[outStart + 2] = (b / sum) * scale;
  weights[outStart + 3] = (c / sum) * scale;
  return true;
}
