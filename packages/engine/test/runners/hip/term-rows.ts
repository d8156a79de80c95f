/** Rows of bf16 as products by matrix tiles read them: in terms, and in the order of row groups. */

import assert from 'node:assert/strict';
import { type Terms, arrangedColumns } from '../../../src/runners/hip/sizes.ts';

/** The numbers that bits of bf16 are. */
export function widened(bits: Uint16Array): Float64Array {
  return new Float64Array(new Float32Array(Uint32Array.from(bits, (half) => half << 16).buffer));
}

/** To the nearest bf16, the even one of two. */
export function rounded(values: ArrayLike<number>): Uint16Array {
  const words = new Uint32Array(Float32Array.from(values).buffer);
  return Uint16Array.from(words, (bits) => (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16);
}

/**
 * Where row groups have a column of a row: of every four blocks of 32 the columns of their first words of codes, then those of
 * their second ones, and so on; of these the pairs that share the halves of a word, block by block.
 */
function arrangedPlace(column: number): number {
  const [four, block, word] = [column >> 7, (column >> 5) % 4, (column >> 3) % 4];
  const [pair, half] = HALVES[column % 8] as readonly [number, number];
  return four * 128 + word * 32 + pair * 8 + block * 2 + half;
}
/** The pair of each of a word's eight columns, and its half: the high one is the second. */
const HALVES = [
  [0, 1],
  [1, 1],
  [2, 1],
  [0, 0],
  [1, 0],
  [2, 0],
  [3, 1],
  [3, 0],
] as const;

/** Rows of terms of `width` numbers as row groups read them: zeros behind the last. */
export function arranged(bits: Uint16Array, width: number): Uint16Array {
  const result = new Uint16Array((bits.length / width) * arrangedColumns(width));
  bits.forEach((half, index) => {
    result[Math.floor(index / width) * arrangedColumns(width) + arrangedPlace(index % width)] = half;
  });
  return result;
}

/** The numbers of such rows in their order. What lies behind the last has to be 0. */
export function natural(bits: Uint16Array, width: number): Uint16Array {
  const stride = arrangedColumns(width);
  const result = Uint16Array.from({ length: (bits.length / stride) * width }, (_, index) => {
    return bits[Math.floor(index / width) * stride + arrangedPlace(index % width)] as number;
  });
  assert.deepEqual(arranged(result, width), bits, 'zeros behind the last column');
  return result;
}

/** Rows of `width` numbers in bf16, and what a product reads of them. */
interface TermRows {
  readonly bits: Uint16Array;
  readonly values: Float64Array;
}

/** Rows as kernels leave them: each rounded, and behind it what the rounding has left, rounded, term by term. */
export function inTerms(terms: Terms, exact: Float32Array, width: number): TermRows {
  const bits = new Uint16Array(terms * exact.length);
  let left = Float64Array.from(exact);
  for (let term = 0; term < terms; term++) {
    const taken = rounded(left);
    taken.forEach((half, index) => {
      bits[(Math.floor(index / width) * terms + term) * width + (index % width)] = half;
    });
    const values = widened(taken);
    left = left.map((value, index) => value - (values[index] as number));
  }
  return { bits, values: termsRead(terms, bits, width) };
}

/** The numbers of rows in terms. */
export function termsRead(terms: Terms, bits: Uint16Array, width: number): Float64Array {
  const values = widened(bits);
  return Float64Array.from({ length: bits.length / terms }, (_, index) => {
    const place = Math.floor(index / width) * terms * width + (index % width);
    let sum = 0;
    for (let term = 0; term < terms; term++) sum += values[place + term * width] as number;
    return sum;
  });
}
