/** Memory that C code reads and writes through an address that does not move. */

import koffi from 'koffi';

/** A few bytes outside the JavaScript heap: out parameters, argument blocks. Hold it as long as C code may use it. */
export class NativeMemory {
  readonly view: DataView;
  readonly address: bigint;

  constructor(bytes: number) {
    const memory = new ArrayBuffer(Math.max(bytes, 8));
    this.view = new DataView(memory);
    this.address = addressOf(new Uint8Array(memory));
  }
}

/** The address of an array's first byte. The array must stay referenced, and its buffer undetached, while in use. */
export function addressOf(array: Uint8Array): bigint {
  return koffi.address(array);
}

/** Memory that a C library owns, seen as an ArrayBuffer. */
export function viewOf(address: bigint, bytes: number): ArrayBuffer {
  return koffi.view(address, bytes);
}

/** The zero-terminated text at an address. */
export function textAt(address: bigint): string {
  return koffi.decode.string(address);
}
