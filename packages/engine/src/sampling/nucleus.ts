/**
 * The tokens of a large top-p set, without sorting: where the set ends is found digit by digit.
 */

/** Shift and width of each digit of a key, the most significant first. */
const DIGITS = [
  [21, 11],
  [10, 11],
  [0, 10],
] as const;

const NEGATIVE_ZERO = 0x80000000;

/**
 * Sets the weights of all tokens to 0 but for the fewest likeliest ones whose weights sum to at least `wanted`: larger
 * logits first, of equal ones the lower ids.
 *
 * @param logits f32 [vocabulary].
 * @param weights f64 [vocabulary], whole numbers that never fall where the logit grows; changed in place.
 * @param wanted at most the sum of all weights.
 * @returns the sum of the weights that are left.
 */
export function keepNucleus(logits: Float32Array, weights: Float64Array, wanted: number): number {
  const bits = new Uint32Array(logits.buffer, logits.byteOffset, logits.length);
  let prefix = 0;
  let above = 0;
  for (const [shift, width] of DIGITS) {
    const masses = new Float64Array(2 ** width);
    for (let id = 0; id < weights.length; id++) {
      const weight = weights[id] as number;
      if (weight === 0) continue;
      const key = keyOf(bits[id] as number);
      if (shift + width < 32 && key >>> (shift + width) !== prefix) continue;
      const digit = (key >>> shift) & (2 ** width - 1);
      masses[digit] = (masses[digit] as number) + weight;
    }
    let digit = masses.length - 1;
    while (digit > 0 && above + (masses[digit] as number) < wanted) above += masses[digit--] as number;
    prefix = prefix * 2 ** width + digit;
  }
  // `prefix` is the whole key of the last logit that is in; tokens that have it are let in until there is enough.
  let mass = above;
  for (let id = 0; id < weights.length; id++) {
    const key = keyOf(bits[id] as number);
    if (key > prefix) continue;
    if (key === prefix && mass < wanted) mass += weights[id] as number;
    else weights[id] = 0;
  }
  return mass;
}

/** A u32 whose order is that of the f32 with these bits; both zeros are one. Of NaN it says nothing. */
function keyOf(bits: number): number {
  if (bits === NEGATIVE_ZERO) return NEGATIVE_ZERO;
  return bits >>> 31 === 1 ? ~bits >>> 0 : (bits | NEGATIVE_ZERO) >>> 0;
}
