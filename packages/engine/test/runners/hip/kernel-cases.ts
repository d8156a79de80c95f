/** What tests of single kernels share: step blocks, guarded outputs, references, experts in MXFP4. */

import assert from 'node:assert/strict';
import { isTailPoisoned, poison } from '@switchyard/gpu/testing';
import { decodeMxfp4 } from '@switchyard/models';
import { linear } from '../../../src/reference/linear.ts';
import { STEP_BYTES, type StepRow, writeStep } from '../../../src/runners/hip/step-block.ts';
import { SMALL_CONFIG, errorOf, randomFloats } from './small-model.ts';

const { experts } = SMALL_CONFIG;

/** Elements behind an output that nobody may write to. */
export const GUARD = 16;

/** Against f64, of sums of some hundred products near 1: f32's own rounding, and nothing more. */
export const TOLERANCE = 2e-6;
/** Rows without tables, at positions 0 and up. */
export function stepOf(
  rows: number,
  change: (row: StepRow, index: number) => Partial<StepRow> = () => ({}),
): Int32Array {
  const words = new Int32Array(STEP_BYTES / 4);
  const tables = { full: [], window: [], windowFirst: 0 };
  const list = Array.from({ length: rows }, (_, index): StepRow => {
    const row: StepRow = { token: index, position: index, wanted: 'nothing', chunks: 1, tables };
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

/** Rows of numbers as vectors that the down projection multiplies. */
export function asVectors(rows: Float32Array, columns: number): Float32Array {
  const vectors = new Float32Array(rows.length);
  rows.forEach((value, index) => {
    const column = index % columns;
    vectors[index - column + placeInVector(column)] = value * 2 ** 64;
  });
  return vectors;
}

/** The numbers of vectors that the gate and up projections left. */
export function fromVectors(vectors: Float32Array, columns: number): Float32Array {
  return vectors.map((_, index) => {
    const column = index % columns;
    return (vectors[index - column + placeInVector(column)] as number) / 2 ** 64;
  });
}
