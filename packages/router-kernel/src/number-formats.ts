/**
 * Conversions between f32 and the 16-bit formats of logits, exact or rounded to nearest even.
 * bf16 is the upper half of f32; f16 is IEEE 754 binary16. Both travel as their bits.
 */

import type { Logits, LogitsDtype } from './contract.ts';

const f32Cell = new Float32Array(1);
const u32Cell = new Uint32Array(f32Cell.buffer);

/** The f32 value of bf16 bits. Exact. */
export function bf16ToF32(bits: number): number {
  u32Cell[0] = bits << 16;
  return f32Cell[0] as number;
}

/** The bf16 bits nearest to a value (ties to even), after rounding it to f32. NaN becomes the quiet NaN 0x7FC0. */
export function f32ToBf16(value: number): number {
  f32Cell[0] = value;
  const bits = u32Cell[0] as number;
  if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fc0;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

/** The value of f16 bits. Exact. */
export function f16ToF32(bits: number): number {
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  // The exponent of f32 is biased by 127 where that of f16 is biased by 15; the fraction has 13 more bits.
  u32Cell[0] = ((bits & 0x8000) << 16) | ((exponent + 112) << 23) | (fraction << 13);
  return f32Cell[0] as number;
}

/** The f16 bits nearest to a value (ties to even), after rounding it to f32. NaN becomes the quiet NaN 0x7E00. */
export function f32ToF16(value: number): number {
  f32Cell[0] = value;
  const bits = u32Cell[0] as number;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return 0x7e00;
  // 65520 is the first value that rounds to infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Below 2^-14 an f16 is a multiple of 2^-24.
    const steps = Math.abs(f32Cell[0]) * 2 ** 24;
    const below = Math.floor(steps);
    const rest = steps - below;
    const up = rest > 0.5 || (rest === 0.5 && (below & 1) === 1);
    return sign | (below + (up ? 1 : 0));
  }
  return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
}

/** A function from one stored logit to its value. Exact. */
export function logitDecoder(dtype: LogitsDtype): (stored: number) => number {
  if (dtype === 'bf16') return bf16ToF32;
  if (dtype === 'f16') return f16ToF32;
  return (stored) => stored;
}

/** Values as stored logits: rounded to nearest even for the 16-bit formats, to f32 otherwise. */
export function encodeLogits(values: ArrayLike<number>, dtype: LogitsDtype): Logits {
  if (dtype === 'f32') return Float32Array.from(values);
  return Uint16Array.from(values, dtype === 'bf16' ? f32ToBf16 : f32ToF16);
}

/** Stored logits as f32 values. Exact. */
export function decodeLogits(logits: Logits, dtype: LogitsDtype): Float32Array {
  return Float32Array.from(logits, logitDecoder(dtype));
}
