/** bf16 and IEEE f16 to f32, from their raw little-endian bytes. Every bf16 and f16 has an exact f32. */

import { InvalidTensorDataError } from '../errors.ts';
import { floatOutput } from './float-output.ts';

/**
 * Decodes bf16, the upper half of an f32.
 *
 * @param bytes raw little-endian bytes, two an element, at any alignment.
 * @param out F32 of bytes / 2 elements; default a new one.
 * @throws InvalidTensorDataError where the sizes do not agree.
 */
export function decodeBf16(bytes: Uint8Array, out?: Float32Array): Float32Array {
  const halves = halvesOf(bytes, 'bf16');
  const values = floatOutput('bf16', halves.length, out);
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < halves.length; i++) bits[i] = (halves[i] ?? 0) << 16;
  return values;
}

/**
 * Decodes IEEE 754 binary16.
 *
 * @param bytes raw little-endian bytes, two an element, at any alignment.
 * @param out F32 of bytes / 2 elements; default a new one.
 * @throws InvalidTensorDataError where the sizes do not agree.
 */
export function decodeF16(bytes: Uint8Array, out?: Float32Array): Float32Array {
  const halves = halvesOf(bytes, 'f16');
  const values = floatOutput('f16', halves.length, out);
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  f16Bits ??= Uint32Array.from({ length: 65536 }, (_, half) => f32BitsOfF16(half));
  for (let i = 0; i < halves.length; i++) bits[i] = f16Bits[halves[i] ?? 0] ?? 0;
  return values;
}

/** The f32 bits of every f16, 256 KiB, made when f16 is first met. */
let f16Bits: Uint32Array | undefined;

const numberOf = new Float32Array(1);
const bitsOf = new Uint32Array(numberOf.buffer);

function f32BitsOfF16(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 31;
  const fraction = half & 0x3ff;
  if (exponent === 31) return (sign | 0x7f80_0000 | (fraction << 13)) >>> 0;
  if (exponent !== 0) return (sign | ((exponent + 112) << 23) | (fraction << 13)) >>> 0;
  numberOf[0] = fraction * 2 ** -24;
  return (sign | (bitsOf[0] ?? 0)) >>> 0;
}

function halvesOf(bytes: Uint8Array, dtype: string): Uint16Array {
  if (bytes.length % 2 !== 0) {
    throw new InvalidTensorDataError(dtype, `${bytes.length} bytes`, 'an even number of bytes');
  }
  // A typed array needs its own alignment, which safetensors does not promise. (A Buffer's slice would not copy.)
  const aligned = bytes.byteOffset % 2 === 0 ? bytes : new Uint8Array(bytes);
  return new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.length / 2);
}
