/** The floats that checkpoints store, as f32. Every bf16 and f16 has an exact one. */

import { InvalidTensorDataError } from '../errors.ts';
import { floatOutput } from './float-output.ts';
import { decodeBf16, decodeF16 } from './half-precision.ts';
import { elementCount, readTensorBytes } from './tensor-bytes.ts';
import { DTYPE_BITS, type Tensor, type TensorDtype } from './tensor.ts';

/** Dtypes of floats that are read, the published one first. */
export const FLOAT_DTYPES = ['BF16', 'F16', 'F32'] as const satisfies readonly TensorDtype[];

/**
 * Decodes BF16, F16 or F32.
 *
 * @param bytes raw little-endian bytes, at any alignment.
 * @param out F32, as many as there are elements; default a new one.
 * @throws InvalidTensorDataError for another dtype, or where the sizes do not agree.
 */
export function decodeFloats(bytes: Uint8Array, dtype: TensorDtype, out?: Float32Array): Float32Array {
  switch (dtype) {
    case 'BF16':
      return decodeBf16(bytes, out);
    case 'F16':
      return decodeF16(bytes, out);
    case 'F32':
      return copyF32(bytes, out);
    default:
      throw new InvalidTensorDataError('a tensor of floats', dtype, FLOAT_DTYPES.join(', '));
  }
}

/**
 * Reads elements of a tensor of BF16, F16 or F32 as f32, as `readTensorBytes` reads its bytes.
 *
 * @param first the first element, row by row; default 0.
 * @param count default all that follow.
 * @throws InvalidTensorDataError for another dtype, or elements that the tensor does not have; what readTensorBytes throws
 */
export function readFloats(tensor: Tensor, first = 0, count = elementCount(tensor) - first): Float32Array {
  const width = DTYPE_BITS[tensor.dtype] / 8;
  return decodeFloats(readTensorBytes(tensor, first * width, (first + count) * width), tensor.dtype);
}

function copyF32(bytes: Uint8Array, out: Float32Array | undefined): Float32Array {
  if (bytes.length % 4 !== 0) {
    throw new InvalidTensorDataError('f32', `${bytes.length} bytes`, 'a multiple of 4 bytes');
  }
  const values = floatOutput('f32', bytes.length / 4, out);
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength).set(bytes);
  return values;
}
