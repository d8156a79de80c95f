/** The oracle of the gate projection, in f64, and how far f32 arithmetic may lie from it. */

import type { RouteOptions } from '../contract.ts';
import { bf16ToF32, logitDecoder } from '../number-formats.ts';
import { referenceRoute } from '../reference.ts';
import { GATE_PARTIAL_SUMS, GATE_PIECE_COLUMNS } from './gate-contract.ts';
import type { GatedRouterConfig, GatedRouterOutput, HiddenStates, ResolvedGatedRouterConfig } from './gate-contract.ts';
import { checkGatedRouteArguments, resolveGatedRouterConfig, routerConfigOf } from './resolve-gate.ts';

/** Exact logits of one hidden state, and the rounding that each may have. */
export interface ReferenceLogits {
  /** f64 [E]. */
  readonly logits: Float64Array;
  /** f64 [E], see `gateRounding`. */
  readonly rounding: Float64Array;
}

/**
 * How far an f32 logit may lie from the exact one: n * 2^-24 / (1 - n * 2^-24) times the sum of the magnitudes of what is
 * added, for n roundings on the way from a product to the logit (Higham, Accuracy and Stability of Numerical Algorithms,
 * 4.2). There are two for each product of a partial sum, where product and sum are not fused, one for each of the 7
 * levels of pairs, and one for the bias; and the least f32 for numbers that are flushed to 0.
 */
export function gateRounding(hiddenSize: number, magnitude: number): number {
  const pieces = Math.ceil(hiddenSize / GATE_PIECE_COLUMNS / GATE_PARTIAL_SUMS);
  const roundings = 2 * pieces * GATE_PIECE_COLUMNS + Math.log2(GATE_PARTIAL_SUMS) + 1;
  const unit = roundings * 2 ** -24;
  return (unit / (1 - unit)) * magnitude + hiddenSize * 2 ** -126;
}

/** The logits of the hidden state that starts at an element. */
export function referenceLogits(
  { hiddenSize, hiddenDtype, gateWeight, gateBias, router }: ResolvedGatedRouterConfig,
  hidden: HiddenStates,
  start: number,
): ReferenceLogits {
  const row = Float64Array.from(hidden.subarray(start, start + hiddenSize), logitDecoder(hiddenDtype));
  const logits = new Float64Array(router.experts);
  const rounding = new Float64Array(router.experts);
  for (let expert = 0; expert < router.experts; expert++) {
    const bias = gateBias?.[expert] ?? 0;
    let sum = bias;
    let magnitude = Math.abs(bias);
    for (let column = 0; column < hiddenSize; column++) {
      const product = (row[column] as number) * bf16ToF32(gateWeight[expert * hiddenSize + column] as number);
      sum += product;
      magnitude += Math.abs(product);
    }
    logits[expert] = sum;
    rounding[expert] = gateRounding(hiddenSize, magnitude);
  }
  return { logits, rounding };
}

/**
 * Routes T hidden states by the letter of the contract, in f64 up to the logits, which are rounded to f32.
 *
 * @throws InvalidConfigError, InvalidArgumentError
 */
export function referenceGatedRoute(
  config: GatedRouterConfig,
  hidden: HiddenStates,
  options: RouteOptions = {},
): GatedRouterOutput {
  const resolved = resolveGatedRouterConfig(config);
  const { tokens, rowStride } = checkGatedRouteArguments(resolved, hidden, options);
  const { experts } = resolved.router;
  const routerLogits = new Float32Array(tokens * experts);
  for (let token = 0; token < tokens; token++) {
    routerLogits.set(referenceLogits(resolved, hidden, token * rowStride).logits, token * experts);
  }
  const { rowStride: _, ...routing } = options;
  return { ...referenceRoute(routerConfigOf(config), routerLogits, { ...routing, tokens }), routerLogits };
}
