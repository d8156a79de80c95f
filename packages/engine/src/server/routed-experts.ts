/**
 * `routed_experts` of chat completions: which experts the routers chose for each token of the prompt and of the answer.
 */

import type { RoutingEvent } from '../events.ts';

/** Digits of a weight: JSON of whole f32 would be twice as long. */
const WEIGHT_DIGITS = 4;

/** The routing of a run of positions. */
export interface RoutedExperts {
  /** The first position: 0 is the prompt's first token. A position may come again, with the same experts. */
  readonly position: number;
  /** The text of the token at each position, special tokens included; U+FFFD where its bytes are no whole characters. */
  readonly tokens: readonly string[];
  /** One entry a layer. Rows are the positions: the K experts of a token, best first, and their weights to four digits. */
  readonly layers: readonly {
    readonly layer: number;
    readonly experts: readonly (readonly number[])[];
    readonly weights: readonly (readonly number[])[];
  }[];
}

function rowsOf(values: Int32Array | Float32Array, rows: number, valueOf: (value: number) => number): number[][] {
  const topK = values.length / rows;
  return Array.from({ length: rows }, (_, row) =>
    Array.from(values.subarray(row * topK, (row + 1) * topK), (value) => valueOf(value)),
  );
}

/** @param textOf A token's text */
export function routedExpertsOf(
  { position, tokens, ids, layers }: RoutingEvent,
  textOf: (id: number) => string,
): RoutedExperts {
  return {
    position,
    tokens: ids.map((id) => textOf(id)),
    layers: layers.map(({ layer, ids: experts, weights }) => ({
      layer,
      experts: rowsOf(experts, tokens, (id) => id),
      weights: rowsOf(weights, tokens, (weight) => Number(weight.toPrecision(WEIGHT_DIGITS))),
    })),
  };
}
