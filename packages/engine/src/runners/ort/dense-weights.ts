import { readTensorBytes } from '@switchyard/models';
import type { Tensor } from '@switchyard/models';
import type { Constant } from './graph.ts';

/** Checkpoint tensors that are not experts, as f32 constants. */

/** Reads `count` values of a bf16 or f32 tensor, from element `first` on, as f32. */
export function readF32(tensor: Tensor, first = 0, count = elements(tensor) - first): Float32Array {
  const width = tensor.dtype === 'F32' ? 4 : 2;
  const bytes = readTensorBytes(tensor, first * width, (first + count) * width);
  if (tensor.dtype === 'F32') {
    return new Float32Array(bytes.buffer, bytes.byteOffset, count);
  }
  const bits = new Uint16Array(bytes.buffer, bytes.byteOffset, count);
  const values = new Uint32Array(count);
  for (let index = 0; index < count; index++) {
    values[index] = (bits[index] as number) << 16;
  }
  return new Float32Array(values.buffer);
}

/** A vector, or any tensor in its own shape. */
export function denseConstant(tensor: Tensor): Constant {
  return f32Constant(readF32(tensor), tensor.shape);
}

/** Linear weights [out, in], one below the other, as one [in, sum of out] matrix for `x @ W`. */
export function transposedConstant(tensors: readonly Tensor[]): Constant {
  const columns = tensors[0]?.shape[1] ?? 0;
  const rows = tensors.reduce((sum, tensor) => sum + (tensor.shape[0] ?? 0), 0);
  const values = new Float32Array(rows * columns);
  let firstRow = 0;
  for (const tensor of tensors) {
    const source = readF32(tensor);
    const tensorRows = tensor.shape[0] ?? 0;
    for (let row = 0; row < tensorRows; row++) {
      for (let column = 0; column < columns; column++) {
        values[column * rows + firstRow + row] = source[row * columns + column] as number;
      }
    }
    firstRow += tensorRows;
  }
  return f32Constant(values, [columns, rows]);
}

/** Vectors joined end to end. */
export function joinedConstant(tensors: readonly Tensor[]): Constant {
  const values = Float32Array.from(tensors.flatMap((tensor) => Array.from(readF32(tensor))));
  return f32Constant(values, [values.length]);
}

/** An f32 constant over values that must not change any more. */
export function f32Constant(values: Float32Array, shape: readonly number[]): Constant {
  return { type: 'float32', shape, bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) };
}

function elements(tensor: Tensor): number {
  return tensor.shape.reduce((product, dimension) => product * dimension, 1);
}
