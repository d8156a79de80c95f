/**
 * Log-probabilities of tokens under the model itself: log-softmax of the raw logits.
 */

import { indicesOfLargest } from './largest.ts';

/** A token's log-probability and those of the likeliest tokens, best first. Survives a structured clone. */
export interface RawLogprobs {
  readonly logprob: number;
  readonly topIds: Int32Array;
  readonly topLogprobs: Float64Array;
}

/** log(sum(exp(logits))), in f64. */
export function logSumExp(logits: Float32Array): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (const logit of logits) if (logit > largest) largest = logit;
  if (!Number.isFinite(largest)) return largest;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - largest);
  return largest + Math.log(sum);
}

/** log p(id) under `logits`. */
export function logprobOf(logits: Float32Array, id: number): number {
  return (logits[id] as number) - logSumExp(logits);
}

/** log p of `id` and of the `count` likeliest tokens. */
export function logprobsOf(logits: Float32Array, id: number, count: number): RawLogprobs {
  const normalizer = logSumExp(logits);
  const topIds = indicesOfLargest(logits, count);
  return {
    logprob: (logits[id] as number) - normalizer,
    topIds,
    topLogprobs: Float64Array.from(topIds, (top) => (logits[top] as number) - normalizer),
  };
}
