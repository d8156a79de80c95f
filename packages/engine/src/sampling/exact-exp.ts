/**
 * e^x by additions and multiplications alone, each rounded once as IEEE 754 says: the same bits in TypeScript and in a
 * kernel that keeps the compiler from contracting them. `Math.exp` may differ between engines and never is a GPU's.
 */

/** ln 2 in two parts: the first ends at 2^-32, so that k times it is exact for every k that occurs. */
const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;

/** Below it e^x is a subnormal or zero: no weight of a sampler is that small. */
const LOWEST = -708;

/**
 * e^x for x from -708 to 0, within one unit in the last place; 0 below.
 * Cody and Waite 1980, "Software Manual for the Elementary Functions": x = k ln 2 + r, e^x = 2^k e^r.
 */
export function exactExp(x: number): number {
  if (x < LOWEST) return 0;
  const k = Math.floor(x * Math.LOG2E + 0.5);
  const r = x - k * LN2_HIGH - k * LN2_LOW;
  // Horner's rule over 1 / n! for n = 13 down to 0, written out because a loop over a table takes four times as long:
  // within |r| <= ln(2) / 2 the terms that are left out are below 2^-57 of the sum.
  let sum = 1.6059043836821613e-10;
  sum = sum * r + 2.08767569878681e-9;
  sum = sum * r + 2.505210838544172e-8;
  sum = sum * r + 2.755731922398589e-7;
  sum = sum * r + 2.7557319223985893e-6;
  sum = sum * r + 2.48015873015873e-5;
  sum = sum * r + 0.0001984126984126984;
  sum = sum * r + 0.001388888888888889;
  sum = sum * r + 0.008333333333333333;
  sum = sum * r + 0.041666666666666664;
  sum = sum * r + 0.16666666666666666;
  sum = sum * r + 0.5;
  sum = sum * r + 1;
  sum = sum * r + 1;
  return sum * powerOfTwo(k);
}

const power = new Float64Array(1);
const powerBits = new Uint32Array(power.buffer);
/** Which half of an f64 holds its exponent, on this machine. */
const HIGH_HALF = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1 ? 1 : 0;

/** 2^k for k from -1022 to 1023, exact: `**` need not be. */
function powerOfTwo(k: number): number {
  powerBits[HIGH_HALF] = (k + 1023) << 20;
  return power[0] as number;
}
