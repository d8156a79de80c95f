/** What the benchmarks route. */

import type { Logits, LogitsDtype } from '../contract.ts';
import { logitBytes } from '../derived-config.ts';
import { normalLogits, tiedLogits } from '../suite/row-patterns.ts';
import { seededRandom } from '../suite/seeded-random.ts';

/** A routing problem: renormalised softmax over contiguous rows, i32 ids. */
export interface BenchmarkShape {
  readonly experts: number;
  readonly topK: number;
  readonly dtype: LogitsDtype;
  /**
   * `'ties'`: f32 logits rounded to bf16, of which many in a row are equal, as a gate projection in bf16 with f32 output
   * gives them. Defaults to `'normal'`.
   */
  readonly logits?: 'normal' | 'ties';
}

/** A shape in a few words: `(128, 8) f32 with ties`. */
export function describeShape({ experts, topK, dtype, logits = 'normal' }: BenchmarkShape): string {
  return `(${experts}, ${topK}) ${dtype}${logits === 'ties' ? ' with ties' : ''}`;
}

/** Rows repeat after so many. */
const DISTINCT_ROWS = 4096;

/**
 * Normal logits [T, E], standard deviation 2, the same each time, in rows that repeat after 4096 at most: enough to keep
 * branches unpredictable.
 */
export function benchmarkLogits({ experts, dtype, logits }: Omit<BenchmarkShape, 'topK'>, tokens: number): Logits {
  const random = seededRandom(`benchmark ${experts} ${dtype} ${tokens}`);
  const distinct = Math.min(tokens, DISTINCT_ROWS);
  const block =
    logits === 'ties' ? tiedLogits(experts, distinct, random) : normalLogits(experts, dtype, distinct, random);
  if (distinct === tokens) return block;
  const bytes = new ArrayBuffer(tokens * experts * logitBytes(dtype));
  const all = dtype === 'f32' ? new Float32Array(bytes) : new Uint16Array(bytes);
  for (let at = 0; at < all.length; at += block.length) all.set(block.subarray(0, all.length - at), at);
  return all;
}
