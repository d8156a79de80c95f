/** The KV cache as the kernels keep it (kernels/hip/parts/kv_blocks.hip), to be read and written by tests. */

import assert from 'node:assert/strict';
import { KV_SCALED_ELEMENTS, kvBlockBytes, kvLayers } from '../../../src/runners/kv-bytes.ts';
import { BLOCK_POSITIONS } from '../../../src/runners/kv-sequences.ts';
import { SMALL_CONFIG } from './small-model.ts';

const { keyValueHeads, headDim } = SMALL_CONFIG;
const SCALES = headDim / KV_SCALED_ELEMENTS;
const HEAD_CODES = BLOCK_POSITIONS * headDim;
const HEAD_ELEMENTS = HEAD_CODES + BLOCK_POSITIONS * SCALES;
/** The code of 0. */
const MIDDLE = 2 ** 15;
/** A number whose neighbours in f32 are integers, and that of the code of 0. */
const CODE_NUMBER = 2 ** 23 + MIDDLE;
const LARGEST_CODE = 2 ** 15 - 1;
const SMALLEST_SCALE = Math.fround(1e-30);
const NAN_SCALE = 0x7fc0;
/** What rounding up to bf16 makes of a scale at most. */
const LARGER_SCALE = 1 + 2 ** -7;

const words = new Uint32Array(1);
const floats = new Float32Array(words.buffer);
const bitsOf = (value: number): number => {
  floats[0] = value;
  return words[0] ?? 0;
};
const widened = (bf16: number): number => {
  words[0] = bf16 << 16;
  return floats[0] ?? 0;
};

/** The elements of a head that a scale is for. */
function elementsOf(scale: number): readonly number[] {
  const half = KV_SCALED_ELEMENTS / 2;
  return Array.from({ length: KV_SCALED_ELEMENTS }, (_, index) => {
    return Math.floor(index / half) * (headDim / 2) + scale * half + (index % half);
  });
}

/** The smallest bf16 times which the largest code is at least the largest of the elements. */
function scaleOf(elements: readonly number[]): number {
  const largest = elements.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  if (!Number.isFinite(largest)) return NAN_SCALE;
  const scale = Math.max(Math.fround(Math.fround(largest) * Math.fround(1 / LARGEST_CODE)), SMALLEST_SCALE);
  return (bitsOf(scale) + 0xffff) >>> 16;
}

/** Keys and values of the first layer of a kind, all NaN at first. */
export class KvCache {
  /** u16, what kernels get. */
  readonly elements: Uint16Array;

  constructor(blocks: number) {
    this.elements = new Uint16Array((blocks * kvBlockBytes(SMALL_CONFIG, 'int16')) / 2).fill(NAN_SCALE);
  }

  /** Of keys (0) or values (1). */
  write(part: number, block: number, position: number, head: number, row: ArrayLike<number>): void {
    const [codes, scales] = this.#places(part, block, position, head);
    for (let which = 0; which < SCALES; which++) {
      const own = elementsOf(which);
      const scale = scaleOf(own.map((element) => row[element] ?? 0));
      const reciprocal = Math.fround(1 / widened(scale));
      this.elements[scales + which] = scale;
      for (const element of own) {
        const number = Math.fround(Math.fround(row[element] ?? 0) * reciprocal + CODE_NUMBER);
        this.elements[codes + element] = bitsOf(number) & 0xffff;
      }
    }
  }

  /** What kernels read there, f64 [head size]. */
  read(part: number, block: number, position: number, head: number): Float64Array {
    const [codes, scales] = this.#places(part, block, position, head);
    const row = new Float64Array(headDim);
    for (let which = 0; which < SCALES; which++) {
      const scale = widened(this.elements[scales + which] ?? 0);
      for (const element of elementsOf(which)) row[element] = ((this.elements[codes + element] ?? 0) - MIDDLE) * scale;
    }
    return row;
  }

  /** What kernels read of all positions of a sequence: [position, KV head, head size]. */
  readAll(part: number, blocks: readonly number[], tokens: number): Float64Array {
    const rows = new Float64Array(tokens * keyValueHeads * headDim);
    for (let position = 0; position < tokens; position++) {
      const block = blocks[Math.floor(position / BLOCK_POSITIONS)] ?? 0;
      for (let head = 0; head < keyValueHeads; head++) {
        rows.set(this.read(part, block, position, head), (position * keyValueHeads + head) * headDim);
      }
    }
    return rows;
  }

  /** Where codes and scales begin. */
  #places(part: number, block: number, position: number, head: number): readonly [codes: number, scales: number] {
    const first = ((block * kvLayers(SMALL_CONFIG) * 2 + part) * keyValueHeads + head) * HEAD_ELEMENTS;
    const place = position % BLOCK_POSITIONS;
    return [first + place * headDim, first + HEAD_CODES + place * SCALES];
  }
}

/**
 * Keys or values as a cache kept them are those expected: within half a code, and what their computing leaves beside it.
 *
 * @param computed the error of what was put into the cache, of a mean magnitude of 1.
 */
export function assertKept(found: Float64Array, expected: Float64Array, computed: number, what: string): void {
  assert.equal(found.length, expected.length, what);
  const mean = expected.reduce((sum, value) => sum + Math.abs(value), 0) / expected.length;
  for (let at = 0; at < expected.length; at += headDim) {
    for (let which = 0; which < SCALES; which++) {
      const own = elementsOf(which).map((element) => at + element);
      const largest = own.reduce((most, index) => Math.max(most, Math.abs(expected[index] ?? 0)), 0);
      const most = (LARGER_SCALE * largest) / LARGEST_CODE / 2 + computed * mean;
      for (const index of own) {
        const off = Math.abs((found[index] ?? Number.NaN) - (expected[index] ?? 0));
        assert.ok(off <= most, `${what}: off by ${off} at ${index}, where ${most} is the most`);
      }
    }
  }
}
