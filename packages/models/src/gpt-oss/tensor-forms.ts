/**
 * The forms in which the values of a tensor may lie in a file. The published checkpoints have bf16, and u8 for the parts
 * of MXFP4; training writes f32, converters f16, and libraries that know MXFP4's own dtypes name them.
 */

import { FLOAT_DTYPES } from '../tensors/floats.ts';
import { MXFP4_BLOCK, MXFP4_BLOCK_BYTES } from '../tensors/mxfp4.ts';
import type { Tensor, TensorDtype } from '../tensors/tensor.ts';
import { readTensorBytes, readTensorBytesAsync } from '../tensors/tensor-bytes.ts';

/** A dtype and a shape. */
export interface TensorForm {
  readonly dtype: TensorDtype;
  readonly shape: readonly number[];
}

/** What a tensor's elements are. */
export type TensorValues = 'floats' | 'mxfp4-codes' | 'mxfp4-scales';

/**
 * Every form in which a tensor is read, the published one first.
 *
 * @param shape of the values; of MXFP4 codes and scales [experts, rows, columns / 32].
 */
export function readableForms(values: TensorValues, shape: readonly number[]): [TensorForm, ...TensorForm[]] {
  if (values === 'floats') {
    const [published, ...others] = FLOAT_DTYPES;
    return [{ dtype: published, shape }, ...others.map((dtype) => ({ dtype, shape }))];
  }
  if (values === 'mxfp4-scales') {
    return [
      { dtype: 'U8', shape },
      { dtype: 'F8_E8M0', shape },
    ];
  }
  // Bytes of two codes, or the codes themselves: the same bytes.
  return [
    { dtype: 'U8', shape: [...shape, MXFP4_BLOCK_BYTES] },
    { dtype: 'F4', shape: [...shape, MXFP4_BLOCK] },
  ];
}

/** Whether a tensor has this form. */
export function hasForm({ dtype, shape }: TensorForm, form: TensorForm): boolean {
  return (
    dtype === form.dtype && shape.length === form.shape.length && shape.every((size, axis) => size === form.shape[axis])
  );
}

/** A tensor's bytes under another dtype and shape that take as many. Nothing is copied. */
export function inForm(tensor: Tensor, { dtype, shape }: TensorForm): Tensor {
  return {
    name: tensor.name,
    dtype,
    shape,
    get bytes() {
      return tensor.bytes;
    },
    read: (begin, end, target) => readTensorBytes(tensor, begin, end, target),
    readAsync: (begin, target) => readTensorBytesAsync(tensor, begin, target),
  };
}
