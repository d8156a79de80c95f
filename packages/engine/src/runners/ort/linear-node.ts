import type { Tensor } from '@switchyard/models';
import { DENSE_BLOCK, blocks8Weight, matrixWeight } from './dense-weights.ts';
import type { DenseForm } from './expert-form.ts';
import type { GraphBuilder, Value } from './graph.ts';

/** MatMulNBits: multiply in integers, activations rounded to int8. The other levels unpack the weights in every call. */
export const INT8_ACTIVATIONS = 4;

/**
 * `value` [..., in] times linear weights [out, in], one below the other: [..., sum of out].
 *
 * f32 weights stay as the checkpoint has them, row by row: ONNX Runtime reorders them as it loads either way.
 */
export function linear(
  graph: GraphBuilder,
  value: Value,
  name: string,
  tensors: readonly Tensor[],
  form: DenseForm,
): Value {
  if (form === 'f32') {
    const [weight = ''] = graph.weight(matrixWeight(name, tensors));
    return graph.contrib('FusedMatMul', [value, weight], { transB: 1 });
  }
  const rows = tensors.reduce((sum, tensor) => sum + (tensor.shape[0] ?? 0), 0);
  return graph.contrib('MatMulNBits', [value, ...graph.weight(blocks8Weight(name, tensors))], {
    K: tensors[0]?.shape[1] ?? 0,
    N: rows,
    bits: 8,
    block_size: DENSE_BLOCK,
    accuracy_level: INT8_ACTIVATIONS,
  });
}
