/** Memory that both JavaScript and a library read and write. */

import koffi from 'koffi';

/** Typed arrays of a kind. */
interface ArrayKind<Values> {
  new (buffer: ArrayBuffer): Values;
  readonly BYTES_PER_ELEMENT: number;
}

/** An array whose address does not move, and which grows. Hold it as long as a library may use it. */
export class SharedArray<Values extends ArrayBufferView & { readonly length: number }> {
  values: Values;
  address: bigint;
  readonly #kind: ArrayKind<Values>;

  /** @param length elements, zero at first. */
  constructor(kind: ArrayKind<Values>, length: number) {
    this.#kind = kind;
    [this.values, this.address] = allocate(kind, length);
  }

  /** Makes room for `length` elements; what was there is lost where there is more. */
  reserve(length: number): void {
    if (this.values.length >= length) return;
    [this.values, this.address] = allocate(this.#kind, Math.max(length, 2 * this.values.length));
  }
}

function allocate<Values extends ArrayBufferView>(kind: ArrayKind<Values>, length: number): [Values, bigint] {
  // A buffer of its own: a small array's elements would lie among JavaScript's objects, and move.
  const values = new kind(new ArrayBuffer(Math.max(8, length * kind.BYTES_PER_ELEMENT)));
  return [values, addressOf(values)];
}

/** The address of an array's first byte. The array must stay referenced while it is used. */
export function addressOf(values: ArrayBufferView): bigint {
  return koffi.address(values);
}
