/** What the benchmarks route. */

import type { Logits, LogitsDtype } from '../contract.ts';
import { logitBytes } from '../derived-config.ts';
import { encodeLogits } from '../number-formats.ts';
import { normal, seededRandom } from '../suite/seeded-random.ts';

/** A routing problem: renormalised softmax over contiguous rows, i32 ids. */
export interface BenchmarkShape {
  readonly experts: number;
  readonly topK: number;
  readonly dtype: LogitsDtype;
}

/** Rows repeat after so many. */
const DISTINCT_ROWS = 4096;

/**
 * Normal logits [T, E], standard deviation 2, the same each time, in rows that repeat after 4096 at most: enough to keep
 * branches unpredictable.
 */
export function benchmarkLogits({ experts, dtype }: Omit<BenchmarkShape, 'topK'>, tokens: number): Logits {
  const random = seededRandom(`benchmark ${experts} ${dtype} ${tokens}`);
  const distinct = Math.min(tokens, DISTINCT_ROWS);
  const values = new Float32Array(distinct * experts);
  for (let i = 0; i < values.length; i += 1) values[i] = 2 * normal(random);
  const block = encodeLogits(values, dtype);
  if (distinct === tokens) return block;
  const bytes = new ArrayBuffer(tokens * experts * logitBytes(dtype));
  const all = dtype === 'f32' ? new Float32Array(bytes) : new Uint16Array(bytes);
  for (let at = 0; at < all.length; at += block.length) all.set(block.subarray(0, all.length - at), at);
  return all;
}
