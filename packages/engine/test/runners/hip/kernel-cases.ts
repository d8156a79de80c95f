/** What tests of single kernels share: step blocks, guarded outputs, references, experts in MXFP4. */

import assert from 'node:assert/strict';
import { isTailPoisoned, poison } from '@switchyard/gpu/testing';
import { decodeMxfp4 } from '@switchyard/models';
import { linear } from '../../../src/reference/linear.ts';
import type { KernelContext } from '../../../src/runners/hip/kernel-form.ts';
import { multipliesBf16Tiles } from '../../../src/runners/hip/mxfp4-product.ts';
import { STEP_BYTES, type StepRow, writeStep } from '../../../src/runners/hip/step-block.ts';
import { SMALL_CONFIG, errorOf, randomFloats } from './small-model.ts';

const { experts } = SMALL_CONFIG;

/** Elements behind an output that nobody may write to. */
export const GUARD = 16;

/** Against f64, of sums of some hundred products near 1: f32's own rounding, and nothing more. */
export const TOLERANCE = 2e-6;
/** Two terms of bf16 leave 2^-17 of each of some hundred values. */
export const TWO_TERM_TOLERANCE = 2e-5;
/** Rows without tables, at positions 0 and up. */
export function stepOf(
  rows: number,
  change: (row: StepRow, index: number) => Partial<StepRow> = () => ({}),
): Int32Array {
  const words = new Int32Array(STEP_BYTES / 4);
  const tables = { full: [], window: [], windowFirst: 0 };
  const list = Array.from({ length: rows }, (_, index): StepRow => {
    const row: StepRow = { token: index, position: index, wanted: 'nothing', partials: 1, tables };
    return { ...row, ...change(row, index) };
  });
  writeStep(words, list);
  return words;
}

export function outputOf(elements: number): Float32Array {
  return poison(new Float32Array(elements + GUARD));
}

/** Nothing behind the output was written; returns the output. */
export function guarded(output: Float32Array): Float32Array {
  assert.ok(isTailPoisoned(output, GUARD * 4), 'the kernel wrote past the end');
  return output.subarray(0, -GUARD);
}

export function assertNear(found: Float32Array, expected: ArrayLike<number>, tolerance: number, what: string): void {
  assert.equal(found.length, expected.length, what);
  const { largest, scale } = errorOf(found, expected);
  assert.ok(largest <= tolerance * scale, `${what}: off by ${largest} where values are about ${scale}`);
}

/** x * gain / sqrt(mean(x^2) + epsilon), a row at a time. */
export function normed(rows: Float32Array, gain: Float32Array): Float64Array {
  const result = new Float64Array(rows.length);
  for (let start = 0; start < rows.length; start += gain.length) {
    const row = rows.subarray(start, start + gain.length);
    const mean = row.reduce((sum, value) => sum + value * value, 0) / gain.length;
    row.forEach((value, index) => {
      result[start + index] = (value * (gain[index] as number)) / Math.sqrt(mean + SMALL_CONFIG.rmsNormEpsilon);
    });
  }
  return result;
}

/** The dispatch plan of some ids. */
export function planOf(ids: Int32Array): { offsets: Int32Array; sorted: Int32Array } {
  const slots = [...ids.keys()].sort((a, b) => (ids[a] as number) - (ids[b] as number) || a - b);
  const offsets = Int32Array.from({ length: experts + 1 }, (_, expert) => ids.filter((id) => id < expert).length);
  return { offsets, sorted: Int32Array.from(slots) };
}

/** Random experts in MXFP4, and what they compute in f64. */
export function mxfp4(rows: number, columns: number, seed: number) {
  const blocks = (experts * rows * columns) / 32;
  const random = randomFloats(blocks * 16, seed);
  const codes = new Uint8Array(Uint32Array.from(new Uint32Array(random.buffer), (bits) => (bits >>> 8) & 255));
  const scales = Uint8Array.from({ length: blocks }, (_, index) => 121 + (index % 4));
  const bias = randomFloats(experts * rows, seed + 1);
  const stored = codes.slice();
  const apply = (expert: number, x: Float64Array, magnitudes = false): Float64Array => {
    const perExpert = blocks / experts;
    const decoded = decodeMxfp4(
      stored.slice(expert * perExpert * 16, (expert + 1) * perExpert * 16),
      scales.slice(expert * perExpert, (expert + 1) * perExpert),
    );
    const weights = new Float64Array(magnitudes ? decoded.map(Math.abs) : decoded);
    const own = new Float64Array(bias.subarray(expert * rows, (expert + 1) * rows));
    return linear(x, weights, magnitudes ? own.map(Math.abs) : own);
  };
  return { onDevice: { codes, scales, bias }, apply };
}

/** Where a column is in a vector as mxfp4_group_lanes.hip keeps it. */
function placeInVector(column: number): number {
  const block = Math.floor(column / 32);
  const granule = Math.floor(column / 4) % 8;
  return block * 32 + (granule ^ (block % 8)) * 4 + (column % 4);
}

/** Where a term of a column is in a vector as mxfp4_group_tiles.hip keeps it, in halves of a word. */
function placeOfTerm(column: number, term: number, columns: number): number {
  const [block, index] = [Math.floor(column / 32), column % 8];
  const piece = Math.floor((column % 32) / 8) * Math.ceil(columns / 128) + Math.floor(block / 4);
  const pair = index > 5 ? 3 : index % 3;
  const isHigh = index < 3 || index === 6;
  return piece * 64 + term * 32 + (block % 4) * 8 + pair * 2 + (isHigh ? 1 : 0);
}

/** Words that a vector takes. */
export function vectorWords(columns: number, { target }: KernelContext): number {
  return multipliesBf16Tiles(target) ? 128 * Math.ceil(columns / 128) : columns;
}

/** Rows of numbers as vectors that the experts multiply. */
export function asVectors(rows: Float32Array, columns: number, context: KernelContext): Float32Array {
  const words = vectorWords(columns, context);
  const vectors = new Float32Array((rows.length / columns) * words);
  const halves = new Uint16Array(vectors.buffer);
  rows.forEach((value, index) => {
    const [first, column] = [Math.floor(index / columns) * words, index % columns];
    if (!multipliesBf16Tiles(context.target)) {
      vectors[first + placeInVector(column)] = value * 2 ** 64;
      return;
    }
    const upper = nearestBf16(value);
    for (const [term, bits] of [upper, nearestBf16(value - numberOf(upper))].entries()) {
      halves[2 * first + placeOfTerm(column, term, columns)] = bits;
    }
  });
  return vectors;
}

/** The numbers of vectors that a kernel left. */
export function fromVectors(vectors: Float32Array, columns: number, context: KernelContext): Float32Array {
  const words = vectorWords(columns, context);
  const halves = new Uint16Array(vectors.buffer, vectors.byteOffset, 2 * vectors.length);
  return Float32Array.from({ length: (vectors.length / words) * columns }, (_, index) => {
    const [first, column] = [Math.floor(index / columns) * words, index % columns];
    if (!multipliesBf16Tiles(context.target)) return (vectors[first + placeInVector(column)] as number) / 2 ** 64;
    const termOf = (term: number): number => numberOf(halves[2 * first + placeOfTerm(column, term, columns)] as number);
    return termOf(0) + termOf(1);
  });
}

function nearestBf16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0] as number;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

function numberOf(bits: number): number {
  return new Float32Array(Uint32Array.of(bits << 16).buffer)[0] as number;
}
