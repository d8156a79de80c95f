import { InvalidTensorDataError } from '../errors.ts';
import { DTYPE_BITS, type Tensor } from './tensor.ts';

/** Elements of a tensor. */
export function elementCount({ shape }: Pick<Tensor, 'shape'>): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** The size of a tensor in bytes, by its dtype and shape. */
export function tensorByteLength({ dtype, shape }: Pick<Tensor, 'dtype' | 'shape'>): number {
  // Elements first: a product of bits may leave the whole numbers sooner than one of bytes.
  return (elementCount({ shape }) / 8) * DTYPE_BITS[dtype];
}

/**
 * Some of a tensor's bytes as a copy of the caller's own: read from the file where the tensor lies in one, so that
 * nothing is mapped for it and a file that has become shorter is an error and not the end of the process.
 *
 * @param begin first byte of the tensor, default 0.
 * @param end one past the last byte, default the tensor's end.
 * @param target where to, as long as the range; default a new array.
 * @throws FileNotReadableError where the file no longer holds the bytes; DisposedError; InvalidTensorDataError for bytes
 * that the tensor does not have.
 */
export function readTensorBytes(
  tensor: Tensor,
  begin = 0,
  end = tensorByteLength(tensor),
  target?: Uint8Array,
): Uint8Array {
  checkRange(tensor, begin, end, target);
  if (tensor.read !== undefined) return tensor.read(begin, end, target);
  const bytes = tensor.bytes.subarray(begin, end);
  if (target === undefined) return new Uint8Array(bytes);
  target.set(bytes);
  return target;
}

/**
 * Reads some of a tensor's bytes into `target` on another thread where the tensor lies in a file: reads that are begun one
 * after the other run side by side. Those of a tensor in memory are copied at once.
 *
 * @param begin first byte of the tensor; as many are read as `target` has.
 * @returns a promise that settles when nothing is written to `target` any more.
 * @throws what readTensorBytes throws, as a rejection
 */
export async function readTensorBytesAsync(tensor: Tensor, begin: number, target: Uint8Array): Promise<void> {
  const end = begin + target.length;
  checkRange(tensor, begin, end, target);
  if (tensor.readAsync !== undefined) await tensor.readAsync(begin, target);
  else readTensorBytes(tensor, begin, end, target);
}

function checkRange(tensor: Tensor, begin: number, end: number, target: Uint8Array | undefined): void {
  const length = tensorByteLength(tensor);
  const isRange = Number.isSafeInteger(begin) && Number.isSafeInteger(end) && begin >= 0 && begin <= end;
  if (!isRange || end > length) {
    throw new InvalidTensorDataError(
      tensor.name,
      `bytes ${begin} to ${end}`,
      `ascending whole numbers up to ${length}`,
    );
  }
  if (target !== undefined && target.length !== end - begin) {
    throw new InvalidTensorDataError(tensor.name, `a target of ${target.length} bytes`, `one of ${end - begin} bytes`);
  }
}
