/** The rows of logits that routers get wrong: ties, signed zeros, non-finite values, the ends of the number range. */

import type { Logits, LogitsDtype } from '../contract.ts';
import { encodeLogits } from '../number-formats.ts';
import { normal } from './seeded-random.ts';

/** What a pattern may use: its row's number, the configuration's shape, and seeded random numbers. */
interface PatternContext {
  readonly row: number;
  readonly experts: number;
  readonly topK: number;
  readonly dtype: LogitsDtype;
  readonly random: () => number;
}

/** Gives the logit of one expert. */
type Pattern = (expert: number, context: PatternContext) => number;

const LARGEST: Readonly<Record<LogitsDtype, number>> = { bf16: 3.3895313892515355e38, f16: 65504, f32: 3.4e38 };
const SMALLEST: Readonly<Record<LogitsDtype, number>> = { bf16: 2 ** -133, f16: 2 ** -24, f32: 2 ** -149 };
/** Neighbours of 8, 16 and 32 lanes: where a reduction across lanes hands over. */
const LANE_EDGES: ReadonlySet<number> = new Set([7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 511, 512]);

const PATTERNS: Readonly<Record<string, Pattern>> = {
  normal: (_, { random }) => 2 * normal(random),
  coarse: (expert, { row }) => ((17 * row + 7 * expert) % 13) - 6,
  'all zero': () => 0,
  'two-level with lane edges': (expert) => (LANE_EDGES.has(expert) ? 4 : -4),
  'only the last': (expert, { experts }) => (expert === experts - 1 ? 0 : -1000),
  'two-level at random': (_, { random }) => (random() < 0.5 ? 1.5 : -0.25),
  'signed zeros': (expert) => (expert % 2 === 0 ? -0 : 0),
  'signed zeros among neighbours': (expert, { dtype }) => [-0, 0, SMALLEST[dtype], -SMALLEST[dtype]][expert % 4] ?? 0,
  distinct: (expert, { row, experts }) => (((expert * 37 + row * 11) % experts) - experts / 2) / 16,
  rising: (expert) => expert / 8,
  falling: (expert) => -expert / 8,
  'close together': (_, { random }) => 1 + Math.floor(random() * 16) * 2 ** -7,
  'far apart': (_, { random }) => Math.round(normal(random) * 40),
  largest: (expert, { dtype, random }) => (random() < 0.3 ? LARGEST[dtype] : expert % 2 === 0 ? -LARGEST[dtype] : 1),
  smallest: (_, { dtype, random }) => SMALLEST[dtype] * Math.round(8 * random() - 4),
  'all NaN': () => NaN,
  'all +Inf': () => Infinity,
  'all -Inf': () => -Infinity,
  'NaN or -Inf': (_, { random }) => (random() < 0.5 ? NaN : -Infinity),
  'NaN and one of each Inf': (expert, { row, experts, random }) => {
    const place = (expert + row) % experts;
    if (place < 4) return NaN;
    return place === 4 ? -Infinity : place === 5 ? Infinity : normal(random);
  },
  'several +Inf': (_, { topK, experts, random }) =>
    random() < (topK + 1) / (experts + 1) ? Infinity : random() < 0.1 ? NaN : normal(random),
  'half NaN': (expert, { random }) => (expert % 2 === 0 ? NaN : normal(random)),
  'fewer finite than K': (expert, { row, experts, topK, random }) => {
    if ((expert + 3 * row) % experts < topK / 2) return normal(random);
    return random() < 0.5 ? -Infinity : NaN;
  },
  'NaN at both ends': (expert, { experts, random }) =>
    expert === 0 || expert === experts - 1 ? NaN : 1 + normal(random) / 4,
};

/** How many different rows there are: T of at least this covers them all. */
export const PATTERN_COUNT = Object.keys(PATTERNS).length;

/** The name of the pattern of row `row`. */
export function patternName(row: number): string {
  return Object.keys(PATTERNS)[row % PATTERN_COUNT] ?? '';
}

/**
 * Logits of T rows, each following its pattern, rounded to the format first. Elements between one row's end and the
 * next row's start are +Infinity or NaN, so that reading them shows.
 *
 * @param shift which pattern the first row has
 */
export function patternedLogits(
  shape: { readonly experts: number; readonly topK: number; readonly dtype: LogitsDtype },
  tokens: number,
  rowStride: number,
  shift: number,
  random: () => number,
): Logits {
  const values = new Float32Array(tokens * rowStride);
  const patterns = Object.values(PATTERNS);
  for (let token = 0; token < tokens; token++) {
    const row = token + shift;
    const pattern = patterns[row % PATTERN_COUNT];
    if (pattern === undefined) continue;
    const context = { row, random, ...shape };
    for (let column = 0; column < rowStride; column++) {
      const gap = column % 2 === 0 ? Infinity : NaN;
      values[token * rowStride + column] = column < shape.experts ? pattern(column, context) : gap;
    }
  }
  const logits = encodeLogits(values, shape.dtype);
  varyNaNs(logits, shape.dtype);
  return logits;
}

/** Logits of T rows of normal numbers, spread 2. */
export function normalLogits(experts: number, dtype: LogitsDtype, tokens: number, random: () => number): Logits {
  const values = new Float32Array(tokens * experts);
  for (let i = 0; i < values.length; i++) values[i] = 2 * normal(random);
  return encodeLogits(values, dtype);
}

/**
 * f32 logits of T rows of normal numbers, spread 2, rounded to bf16: many in a row are equal. A gate projection in bf16 whose
 * output is f32 gives such rows.
 */
export function tiedLogits(experts: number, tokens: number, random: () => number): Float32Array {
  const rounded = normalLogits(experts, 'bf16', tokens, random);
  return new Float32Array(Uint32Array.from(rounded, (bits) => (bits << 16) >>> 0).buffer);
}

/** Gives every second NaN a sign and every third a payload: all of them are NaN, and none may rank apart. */
function varyNaNs(logits: Logits, dtype: LogitsDtype): void {
  const bits = logits instanceof Float32Array ? new Uint32Array(logits.buffer) : logits;
  const sign = logits instanceof Float32Array ? 0x80000000 : 0x8000;
  const infinity = dtype === 'f32' ? 0x7f800000 : dtype === 'bf16' ? 0x7f80 : 0x7c00;
  for (let i = 0; i < bits.length; i++) {
    const magnitude = ((bits[i] ?? 0) & (sign - 1)) >>> 0;
    if (magnitude <= infinity) continue;
    const payload = i % 3 === 0 ? infinity + 1 : magnitude;
    bits[i] = i % 2 === 0 ? payload : payload + sign;
  }
}
