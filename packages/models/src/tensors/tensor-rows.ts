import { InvalidTensorDataError } from '../errors.ts';
import { readTensorBytes, readTensorBytesAsync, tensorByteLength } from './tensor-bytes.ts';
import type { Tensor } from './tensor.ts';

/**
 * Rows `begin` to `end` (exclusive) of a tensor, as a tensor over the same bytes. Nothing is copied.
 *
 * @param part is added to the name: `attn.qkv.weight[query]`.
 * @throws InvalidTensorDataError for rows that the tensor does not have.
 */
export function rowsOf(tensor: Tensor, begin: number, end: number, part: string): Tensor {
  const [rows, ...rest] = tensor.shape;
  if (
    rows === undefined ||
    !Number.isInteger(begin) ||
    !Number.isInteger(end) ||
    begin < 0 ||
    end < begin ||
    end > rows
  ) {
    throw new InvalidTensorDataError(
      `rows of ${tensor.name}`,
      `rows ${begin} to ${end} of shape [${tensor.shape.join(', ')}]`,
      'ascending whole numbers within the first dimension',
    );
  }
  const rowBytes = rows === 0 ? 0 : tensorByteLength(tensor) / rows;
  return {
    name: `${tensor.name}[${part}]`,
    dtype: tensor.dtype,
    shape: [end - begin, ...rest],
    get bytes() {
      return tensor.bytes.subarray(begin * rowBytes, end * rowBytes);
    },
    read: (first, last, target) => readTensorBytes(tensor, begin * rowBytes + first, begin * rowBytes + last, target),
    readAsync: (first, target) => readTensorBytesAsync(tensor, begin * rowBytes + first, target),
  };
}
