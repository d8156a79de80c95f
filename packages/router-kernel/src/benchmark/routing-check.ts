/** Compares answers with the reference before they are timed. */

import type { Logits, ResolvedRouterConfig } from '../contract.ts';
import { checkRouteArguments, resolveRouterConfig } from '../resolve-config.ts';
import { compareOutput } from '../suite/compare-output.ts';
import type { BenchmarkShape } from './logits.ts';

/** Bytes that outputs are filled with before a checked call, so that what is not written shows. */
export const POISON = 0xa5;

/** Rows that are compared, spread over all T. */
const CHECKED_ROWS = 1024;

/** What `routingProblems` compares, for a report. */
export const ROUTING_CHECK = `up to ${CHECKED_ROWS} rows spread over T with the f64 reference: ids exact, weights within the contract`;

/** What `planProblems` compares, for a report. */
export const PLAN_CHECK = 'the dispatch plan with that of the ids: exact';

/** The configuration that a shape stands for. */
export function configOf({ experts, topK, dtype }: BenchmarkShape): ResolvedRouterConfig {
  return resolveRouterConfig({ experts, topK, logitsDtype: dtype });
}

/**
 * What is wrong with the outputs for T rows of logits, in words; empty where they are right.
 *
 * @param logits [T, E]
 * @param output f32 weights and i32 ids, [T, K] each
 */
export function routingProblems(
  shape: BenchmarkShape,
  logits: Logits,
  output: { readonly weights: Float32Array; readonly ids: Int32Array },
): readonly string[] {
  const { experts, topK } = shape;
  const tokens = logits.length / experts;
  const unwritten = output.ids.findIndex((id) => id < 0 || id >= experts);
  if (unwritten !== -1) return [`slot ${unwritten} holds ${output.ids[unwritten]}`];
  const rows = Math.min(tokens, CHECKED_ROWS);
  const picked = {
    logits: logits.slice(0, rows * experts),
    weights: new Float32Array(rows * topK),
    ids: new Int32Array(rows * topK),
  };
  for (let row = 0; row < rows; row += 1) {
    const from = rows === 1 ? 0 : Math.floor((row * (tokens - 1)) / (rows - 1));
    picked.logits.set(logits.subarray(from * experts, (from + 1) * experts), row * experts);
    picked.weights.set(output.weights.subarray(from * topK, (from + 1) * topK), row * topK);
    picked.ids.set(output.ids.subarray(from * topK, (from + 1) * topK), row * topK);
  }
  const config = configOf(shape);
  const args = checkRouteArguments(config, picked.logits);
  return compareOutput(config, picked.logits, args, { tokens: rows, ids: picked.ids, weights: picked.weights })
    .problems;
}
