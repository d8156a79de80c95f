import { buildDispatchPlan } from '@switchyard/router-kernel';
import type { DispatchPlan, RouterOutput } from '@switchyard/router-kernel';
import { f32Tensor, i32Tensor, i64Tensor } from './graph-session.ts';
import type { Feeds } from './graph-session.ts';

/**
 * A routing as the inputs of the expert block. S = T * K slots in the plan's order:
 *
 * - planRows i32 [S]: the token of each slot, whose activations are gathered
 * - planExperts i32 [S]: the expert of each slot, whose biases are added
 * - planCounts i64 [E]: how many slots each expert has
 * - planInverse i32 [T * K]: where each token's k-th slot lies
 * - planWeights f32 [T, 1, K]
 */
export function planInputs(ids: Int32Array, weights: Float32Array, plan: DispatchPlan, topK: number): Feeds {
  const { expertOffsets, sortedSlots } = plan;
  const experts = expertOffsets.length - 1;
  const slots = ids.length;
  const rows = new Int32Array(slots);
  const rowExperts = new Int32Array(slots);
  const inverse = new Int32Array(slots);
  const counts = new Int32Array(experts);
  for (let expert = 0; expert < experts; expert++) {
    const start = expertOffsets[expert] as number;
    const end = expertOffsets[expert + 1] as number;
    counts[expert] = end - start;
    for (let position = start; position < end; position++) {
      const slot = sortedSlots[position] as number;
      rows[position] = (slot / topK) | 0;
      rowExperts[position] = expert;
      inverse[slot] = position;
    }
  }
  return {
    planRows: i32Tensor(rows, [slots]),
    planExperts: i32Tensor(rowExperts, [slots]),
    planCounts: i64Tensor(counts, [experts]),
    planInverse: i32Tensor(inverse, [slots]),
    planWeights: f32Tensor(weights, [slots / topK, 1, topK]),
  };
}

/** The inputs for all tokens of a routing. */
export function planOf(routing: RouterOutput, topK: number, experts: number): Feeds {
  const ids = routing.ids as Int32Array;
  return planInputs(ids, routing.weights, routing.dispatchPlan ?? buildDispatchPlan(ids, experts), topK);
}

/** The inputs for some tokens only, which become rows 0, 1, …. */
export function planOfRows(routing: RouterOutput, rows: ArrayLike<number>, topK: number, experts: number): Feeds {
  const ids = selectRows(routing.ids as Int32Array, rows, topK);
  return planInputs(ids, selectRows(routing.weights, rows, topK), buildDispatchPlan(ids, experts), topK);
}

/** The named rows of a row-major matrix, copied. */
export function selectRows<Values extends Float32Array | Int32Array>(
  values: Values,
  rows: ArrayLike<number>,
  width: number,
): Values {
  const selected = values.slice(0, rows.length * width) as Values;
  for (let row = 0; row < rows.length; row++) {
    const from = (rows[row] as number) * width;
    selected.set(values.subarray(from, from + width), row * width);
  }
  return selected;
}
