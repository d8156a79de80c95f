/** The scoring functions, for one logit each, in f64. */

import { MAX_F32 } from '../contract.ts';

/** 1 / (1 + e^-x); 0 for NaN. */
export function sigmoid(logit: number): number {
  if (Number.isNaN(logit)) return 0;
  return 1 / (1 + Math.exp(-logit));
}

/** sqrt(log(1 + e^x)); 0 for NaN, the largest finite f32 for +Infinity. */
export function sqrtSoftplus(logit: number): number {
  if (Number.isNaN(logit)) return 0;
  if (logit === Infinity) return MAX_F32;
  const softplus = logit > 0 ? logit + Math.log1p(Math.exp(-logit)) : Math.log1p(Math.exp(logit));
  return Math.sqrt(softplus);
}

/** What the softmax of a row needs to know of it. */
export interface SoftmaxTerms {
  /** The largest logit; -Infinity where the row has none above it. */
  largest: number;
  /** Sum of e^(x - largest) over the row; the number of +Infinity where there is one. 0 where largest is -Infinity. */
  sum: number;
}

/** Reads the softmax terms of the `count` logits from `start`. */
export function readSoftmaxTerms(row: Float32Array, start: number, count: number, terms: SoftmaxTerms): void {
  let largest = -Infinity;
  for (let i = start; i < start + count; i++) {
    const logit = row[i] as number;
    if (logit > largest) largest = logit;
  }
  let sum = 0;
  if (largest === Infinity) {
    for (let i = start; i < start + count; i++) if (row[i] === Infinity) sum++;
  } else if (largest > -Infinity) {
    for (let i = start; i < start + count; i++) {
      const term = Math.exp((row[i] as number) - largest);
      if (term > 0) sum += term;
    }
  }
  terms.largest = largest;
  terms.sum = sum;
}

/** One logit's share of the softmax whose terms these are, where largest is above -Infinity; 0 for NaN. */
export function softmaxShare(logit: number, terms: SoftmaxTerms): number {
  if (Number.isNaN(logit)) return 0;
  if (terms.largest === Infinity) return logit === Infinity ? 1 / terms.sum : 0;
  return Math.exp(logit - terms.largest) / terms.sum;
}
