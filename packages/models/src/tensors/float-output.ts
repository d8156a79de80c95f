import { InvalidTensorDataError } from '../errors.ts';

/**
 * Where decoded values go: the caller's array, or a new one.
 *
 * @param what is decoded, for errors.
 * @param elements how many values there are.
 * @throws InvalidTensorDataError where the caller's array is of another length.
 */
export function floatOutput(what: string, elements: number, out: Float32Array | undefined): Float32Array {
  const values = out ?? new Float32Array(elements);
  if (values.length === elements) return values;
  throw new InvalidTensorDataError(what, `an output of ${values.length} elements`, `${elements} elements`);
}
