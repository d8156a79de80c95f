import type { DispatchPlan } from '@switchyard/router-kernel';
import { f32Tensor, i32Tensor, i64Tensor } from './graph-session.ts';
import type { Tensor } from 'onnxruntime-node';
import type { ExpertRange } from './expert-division.ts';

/** The inputs that carry a plan. */
export type PlanInputs = Readonly<Record<'planRows' | 'planCounts' | 'planInverse' | 'planWeights', Tensor>>;

/**
 * A routing as the inputs of an expert graph. S = T * K rows in the plan's order:
 *
 * - planRows i32 [S]: the token of each row, whose activations are gathered
 * - planCounts i64 [E]: how many rows each expert has
 * - planInverse i32 [S]: which row is each token's k-th
 * - planWeights f32 [T, 1, K]
 */
export function planInputs(
  ids: Int32Array,
  weights: Float32Array,
  { expertOffsets, sortedSlots }: DispatchPlan,
  topK: number,
): PlanInputs {
  const experts = expertOffsets.length - 1;
  const counts = new Int32Array(experts);
  for (let expert = 0; expert < experts; expert++) {
    counts[expert] = (expertOffsets[expert + 1] as number) - (expertOffsets[expert] as number);
  }
  const slots = ids.length;
  const rows = new Int32Array(slots);
  const inverse = new Int32Array(slots);
  for (let position = 0; position < slots; position++) {
    const slot = sortedSlots[position] as number;
    rows[position] = (slot / topK) | 0;
    inverse[slot] = position;
  }
  return {
    planRows: i32Tensor(rows, [slots]),
    planCounts: i64Tensor(counts, [experts]),
    planInverse: i32Tensor(inverse, [slots]),
    planWeights: f32Tensor(weights, [slots / topK, 1, topK]),
  };
}

/** The inputs of an expert group graph: the part of a plan that is some of a layer's experts'. */
export function rangeInputs(
  planRows: Int32Array,
  planExperts: Int32Array,
  { expertOffsets }: Pick<DispatchPlan, 'expertOffsets'>,
  { first, end }: ExpertRange,
): Pick<PlanInputs, 'planRows' | 'planCounts'> & { readonly planExperts: Tensor } {
  const from = expertOffsets[first] as number;
  const to = expertOffsets[end] as number;
  const counts = new Int32Array(end - first);
  for (let expert = first; expert < end; expert++) {
    counts[expert - first] = (expertOffsets[expert + 1] as number) - (expertOffsets[expert] as number);
  }
  return {
    planRows: i32Tensor(planRows.subarray(from, to), [to - from]),
    planExperts: i32Tensor(
      planExperts.subarray(from, to).map((expert) => expert - first),
      [to - from],
    ),
    planCounts: i64Tensor(counts, [end - first]),
  };
}

/** i32 [S]: the expert of each row of a plan, whose biases are added. */
export function rowExperts({ expertOffsets }: Pick<DispatchPlan, 'expertOffsets'>): Int32Array {
  const experts = new Int32Array(expertOffsets.at(-1) ?? 0);
  for (let expert = 0; expert + 1 < expertOffsets.length; expert++) {
    experts.fill(expert, expertOffsets[expert], expertOffsets[expert + 1]);
  }
  return experts;
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
