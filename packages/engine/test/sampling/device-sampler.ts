import { exactExp } from '../../src/sampling/exact-exp.ts';
import type { SamplingParameters } from '../../src/sampling/parameters.ts';
import { RandomStream } from '../../src/sampling/random.ts';

/**
 * The sampler as a GPU would have it: no sorting, sums over strided parts that are added from the last to the first, the
 * cut found by three passes over the digits of order-preserving keys, equal logits let in by their ids. Penalties, bias
 * and masks are not its business. It shares nothing with the sampler but e^x and the random numbers.
 */

const LANES = 7;

/** A u32 whose order is the logit's; NaN lies below everything, and both zeros are one. */
function keyOf(logit: number): number {
  if (Number.isNaN(logit)) return 0;
  floats[0] = logit === 0 ? 0 : logit;
  const bits = words[0] as number;
  return bits >>> 31 === 1 ? ~bits >>> 0 : (bits | 0x80000000) >>> 0;
}
const floats = new Float32Array(1);
const words = new Uint32Array(floats.buffer);

/** Sums in the order of a reduction over lanes. */
function laneSum(count: number, valueOf: (index: number) => number): number {
  const lanes = new Float64Array(LANES);
  for (let index = count - 1; index >= 0; index--) {
    lanes[index % LANES] = (lanes[index % LANES] as number) + valueOf(index);
  }
  return lanes.reduceRight((sum, lane) => sum + lane, 0);
}

/** From the most significant digit on: shift and width of each pass. */
const PASSES = [
  [21, 11],
  [10, 11],
  [0, 10],
] as const;

/**
 * The key of the token at which the measure of all tokens from the largest key down reaches `wanted`, and what the
 * measure of those above it is.
 */
function thresholdOf(
  keys: Uint32Array,
  measure: (id: number) => number,
  wanted: number,
): { readonly key: number; readonly above: number } {
  let prefix = 0;
  let above = 0;
  for (const [shift, bits] of PASSES) {
    const histogram = new Float64Array(2 ** bits);
    for (let id = keys.length - 1; id >= 0; id--) {
      const key = keys[id] as number;
      const known = shift + bits;
      if (known < 32 && key >>> known !== prefix) continue;
      const digit = (key >>> shift) & (2 ** bits - 1);
      histogram[digit] = (histogram[digit] as number) + measure(id);
    }
    let digit = histogram.length - 1;
    while (digit > 0 && above + (histogram[digit] as number) < wanted) above += histogram[digit--] as number;
    prefix = prefix * 2 ** bits + digit;
  }
  return { key: prefix, above };
}

/** The tokens of one row that top-k or top-p leaves: those above the key and the first few that have it. */
function keep(keys: Uint32Array, measure: (id: number) => number, wanted: number): (id: number) => boolean {
  const { key, above } = thresholdOf(keys, measure, wanted);
  const equals = new Set<number>();
  let reached = above;
  for (let id = 0; id < keys.length && reached < wanted; id++) {
    if (keys[id] !== key) continue;
    equals.add(id);
    reached += measure(id);
  }
  return (id) => (keys[id] as number) > key || equals.has(id);
}

/** The token of the request's `draw`-th draw, 0 for the first. */
export function deviceSample(logits: Float32Array, parameters: SamplingParameters, draw: number): number {
  const { temperature, topK, topP, minP, seed } = parameters;
  const keys = Uint32Array.from(logits, keyOf);
  const largestKey = keys.reduce((most, key) => Math.max(most, key), 0);
  const largestId = keys.indexOf(largestKey);
  const largest = logits[largestId] as number;
  if (temperature === 0 || !Number.isFinite(largest)) return largestId;
  const u = new RandomStream(seed, draw).next();

  const floor = Math.floor(minP * 2 ** 35);
  const weights = Float64Array.from(logits, (logit) => {
    const weight = Number.isNaN(logit) ? 0 : Math.floor(2 ** 35 * exactExp((logit - largest) / temperature));
    return weight >= floor ? weight : 0;
  });
  const weightOf = (id: number): number => weights[id] as number;
  let isKept: (id: number) => boolean = () => true;
  if (topK > 0 && topK < logits.length) isKept = keep(keys, () => 1, topK);
  const byTopK = isKept;
  const left = (id: number): number => (byTopK(id) ? weightOf(id) : 0);
  if (topP < 1) {
    const isNucleus = keep(keys, left, topP * laneSum(logits.length, left));
    isKept = (id) => byTopK(id) && isNucleus(id);
  }
  const final = (id: number): number => (isKept(id) ? weightOf(id) : 0);
  const total = laneSum(logits.length, final);
  const drawn = Math.min(Math.floor(u * total), total - 1);
  // The blocks' sums first, then within the block.
  const block = 16;
  let before = 0;
  let start = 0;
  for (; ; start += block) {
    const sum = laneSum(Math.min(block, logits.length - start), (index) => final(start + index));
    if (before + sum > drawn) break;
    before += sum;
  }
  for (let id = start; ; id++) {
    before += final(id);
    if (before > drawn) return id;
  }
}
