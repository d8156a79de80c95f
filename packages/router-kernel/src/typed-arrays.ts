/**
 * Typed arrays as callers bring them: of another realm (a vm context, a frame, a test runner's sandbox), over memory
 * that is shared, resizable or gone.
 */

/** The typed arrays that routers take or write. */
interface TypedArrays {
  readonly Uint8Array: Uint8Array;
  readonly Uint16Array: Uint16Array;
  readonly Float32Array: Float32Array;
  readonly Int32Array: Int32Array;
  readonly Uint32Array: Uint32Array;
  readonly BigInt64Array: BigInt64Array;
}

/** Whether a value is a typed array of a kind, of any realm: `instanceof` knows those of one realm alone. */
export function isTypedArray<Kind extends keyof TypedArrays>(value: unknown, kind: Kind): value is TypedArrays[Kind] {
  return ArrayBuffer.isView(value) && (value as Uint8Array)[Symbol.toStringTag] === kind;
}

/**
 * The elements of an array; 0 where its memory is gone. `length` is no answer: once V8 11 (Node 20) has optimised a
 * function that saw resizable buffers, it reads the length there that an array had before its buffer was transferred.
 *
 * @param bytesPerElement given, because looking it up costs more than all the rest
 */
export function lengthOf(array: ArrayBufferView, bytesPerElement: 1 | 2 | 4 | 8): number {
  return array.byteLength / bytesPerElement;
}

/**
 * Whether the memory of a typed array is gone: its buffer was transferred, or shrunk to before the array's end.
 *
 * @param array no DataView
 */
export function isDetached(array: ArrayBufferView): boolean {
  if (array.byteLength > 0) return false;
  try {
    // Methods refuse such an array, and reading its length gives 0 like that of an empty one.
    Uint8Array.prototype.at.call(array, 0);
    return false;
  } catch {
    return true;
  }
}

/** The bytes of `length` elements from `start` on, in place. */
export function bytesOfElements(
  array: Uint8Array | Uint16Array | Float32Array,
  start: number,
  length: number,
): Uint8Array {
  const { buffer, byteOffset, BYTES_PER_ELEMENT } = array;
  return new Uint8Array(buffer, byteOffset + start * BYTES_PER_ELEMENT, length * BYTES_PER_ELEMENT);
}

/** The same bytes in memory of a fixed length that one thread alone has; copied where they lie in any other. */
export function bytesInPlainMemory(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes;
  // By name, as the buffer may be of another realm, and the global SharedArrayBuffer is not everywhere.
  const isPlain = buffer[Symbol.toStringTag] === 'ArrayBuffer' && Reflect.get(buffer, 'resizable') !== true;
  return isPlain ? (bytes as Uint8Array<ArrayBuffer>) : bytes.slice();
}
