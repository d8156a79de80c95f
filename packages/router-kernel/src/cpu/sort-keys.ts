/**
 * Integer keys that sort as the contract ranks. A 16-bit float and its expert id fit one 32-bit integer, so that one
 * comparison carries value, tie rule and id at once:
 *
 *   key = rank16(logit) << 16 | (0xFFFF - id)
 *
 * Keys are signed, because 32-bit signed integers are the ones that JavaScript engines keep in registers.
 */

/** Below every key. */
export const LEAST_SORT_KEY = -0x80000000;
/** The bits of +Infinity, which tell NaN apart: a magnitude above them. */
export const BF16_INFINITY_BITS = 0x7f80;
export const F16_INFINITY_BITS = 0x7c00;

/**
 * The key of one logit.
 *
 * @param bits of a bf16 or f16
 * @param infinityBits BF16_INFINITY_BITS or F16_INFINITY_BITS
 * @param id 0 to 0xFFFF
 */
export function sortKey(bits: number, infinityBits: number, id: number): number {
  return (rank16(bits, infinityBits) << 16) | (0xffff - id);
}

/** The id that a key carries. */
export function idOfSortKey(key: number): number {
  return 0xffff - (key & 0xffff);
}

/** A 16-bit float as a signed integer in the same order: NaN lowest (-32768), -0 as +0 (0). */
function rank16(bits: number, infinityBits: number): number {
  const magnitude = bits & 0x7fff;
  if (magnitude > infinityBits) return -0x8000;
  // Negates where the sign bit is set, without a branch: signs are as good as random, and mispredictions cost more.
  const signMask = (bits << 16) >> 31;
  return (magnitude ^ signMask) - signMask;
}
