/** The KV cache as the kernels keep it (kernels/hip/parts/kv_blocks.hip), to be read and written by tests. */

import assert from 'node:assert/strict';
import { elementsOfScale, keepHead, readHead } from '../../../src/reference/kept-heads.ts';
import { KV_SCALED_ELEMENTS, type KvType, kvBlockBytes, kvLayers } from '../../../src/runners/kv-bytes.ts';
import { BLOCK_POSITIONS } from '../../../src/runners/kv-sequences.ts';
import { SMALL_CONFIG } from './small-model.ts';

const { keyValueHeads, headDim } = SMALL_CONFIG;
const SCALES = headDim / KV_SCALED_ELEMENTS;
const HEAD_CODES = BLOCK_POSITIONS * headDim;
const HEAD_ELEMENTS = HEAD_CODES + BLOCK_POSITIONS * SCALES;
const NAN_SCALE = 0x7fc0;
/** Half a code of the largest element: what rounding up to bf16 makes of its scale at most. */
const HALF_CODE = (1 + 2 ** -7) / (2 ** 15 - 1) / 2;

/** Keys and values of the first layer of a kind, all NaN at first. */
export class KvCache {
  readonly kv: KvType;
  /** What kernels get: u16 codes and scales, or f32. */
  readonly elements: Uint16Array | Float32Array;

  constructor(blocks: number, kv: KvType = 'int16') {
    this.kv = kv;
    const bytes = blocks * kvBlockBytes(SMALL_CONFIG, kv);
    this.elements =
      kv === 'f32' ? new Float32Array(bytes / 4).fill(Number.NaN) : new Uint16Array(bytes / 2).fill(NAN_SCALE);
  }

  /** Of keys (0) or values (1). */
  write(part: number, block: number, position: number, head: number, row: ArrayLike<number>): void {
    const places = this.#places(part, block, position, head);
    if (this.kv === 'f32') {
      this.elements.set(row, places.codes);
      return;
    }
    const { codes, scales } = keepHead(row, KV_SCALED_ELEMENTS);
    this.elements.set(codes, places.codes);
    this.elements.set(scales, places.scales);
  }

  /** What kernels read there, f64 [head size]. */
  read(part: number, block: number, position: number, head: number): Float64Array {
    const { codes, scales } = this.#places(part, block, position, head);
    if (!(this.elements instanceof Uint16Array)) {
      return new Float64Array(this.elements.subarray(codes, codes + headDim));
    }
    return readHead({
      codes: this.elements.subarray(codes, codes + headDim),
      scales: this.elements.subarray(scales, scales + SCALES),
    });
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

  /** Where codes, or f32, and scales begin. */
  #places(part: number, block: number, position: number, head: number): { codes: number; scales: number } {
    const ofHead = this.kv === 'f32' ? HEAD_CODES : HEAD_ELEMENTS;
    const first = ((block * kvLayers(SMALL_CONFIG) * 2 + part) * keyValueHeads + head) * ofHead;
    const place = position % BLOCK_POSITIONS;
    return { codes: first + place * headDim, scales: first + HEAD_CODES + place * SCALES };
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
      const own = elementsOfScale(which, headDim, KV_SCALED_ELEMENTS).map((element) => at + element);
      const largest = own.reduce((most, index) => Math.max(most, Math.abs(expected[index] ?? 0)), 0);
      const most = HALF_CODE * largest + computed * mean;
      for (const index of own) {
        const off = Math.abs((found[index] ?? Number.NaN) - (expected[index] ?? 0));
        assert.ok(off <= most, `${what}: off by ${off} at ${index}, where ${most} is the most`);
      }
    }
  }
}
