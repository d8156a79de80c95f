/** The part of the protobuf wire format that an ONNX file needs: varints, 32-bit floats and length-delimited fields. */

const VARINT = 0;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

const encoder = new TextEncoder();

/** Collects the fields of one message. Chunks are kept by reference and joined once, in `finish()`. */
export class MessageWriter {
  readonly #chunks: Uint8Array[] = [];
  #length = 0;

  /** A whole number from -(2^53) to 2^53, as protobuf's int32, int64 or enum. */
  integer(field: number, value: number): this {
    this.#append(varint(BigInt(field * 8 + VARINT)));
    this.#append(varint(BigInt.asUintN(64, BigInt(value))));
    return this;
  }

  /** A number rounded to f32. */
  float(field: number, value: number): this {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setFloat32(0, value, true);
    this.#append(varint(BigInt(field * 8 + FIXED32)));
    this.#append(bytes);
    return this;
  }

  /** Text, as UTF-8. */
  string(field: number, value: string): this {
    return this.bytes(field, encoder.encode(value));
  }

  /** Raw bytes; the array must not change before `finish()`. */
  bytes(field: number, value: Uint8Array): this {
    this.#append(varint(BigInt(field * 8 + LENGTH_DELIMITED)));
    this.#append(varint(BigInt(value.length)));
    this.#append(value);
    return this;
  }

  /** A nested message. */
  message(field: number, value: MessageWriter): this {
    this.#append(varint(BigInt(field * 8 + LENGTH_DELIMITED)));
    this.#append(varint(BigInt(value.#length)));
    for (const chunk of value.#chunks) {
      this.#append(chunk);
    }
    return this;
  }

  /** The message's bytes. */
  finish(): Uint8Array {
    const whole = new Uint8Array(this.#length);
    let offset = 0;
    for (const chunk of this.#chunks) {
      whole.set(chunk, offset);
      offset += chunk.length;
    }
    return whole;
  }

  #append(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
  }
}

function varint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}
