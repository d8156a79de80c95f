/**
 * MXFP4 of the OCP Microscaling Formats (MX) Specification v1.0: blocks of 32 E2M1 values that share one E8M0 scale.
 * All functions are exact to the bit.
 */

import { InvalidTensorDataError } from '../errors.ts';
import type { Mxfp4Tensor } from './tensor.ts';

/** Elements that share a scale. */
export const MXFP4_BLOCK = 32;

/** The E8M0 byte that makes every element of its block NaN. */
export const E8M0_NAN = 255;

/** Twice the value of each E2M1 code: whole numbers, so that integer kernels can hold them exactly. */
const HALF_UNITS: readonly number[] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/** The value of each E2M1 code; code 8 is negative zero. */
const VALUES: readonly number[] = HALF_UNITS.map((half, code) => (code === 8 ? -0 : half / 2));

/** The value 0 in the integer form. */
const ZERO_POINT = 128;

/** Both values of a byte of codes: entry 2 * byte is the low nibble's, the next one the high nibble's. */
const byteValues = Float32Array.from({ length: 512 }, (_, i) => VALUES[(i & 1) === 0 ? (i >> 1) & 15 : i >> 5] ?? 0);

/** Both half-unit codes of a byte with the zero point added, low nibble in the low byte: written as one u16. */
const byteCodes = Uint16Array.from({ length: 256 }, (_, byte) => {
  const low = ZERO_POINT + (HALF_UNITS[byte & 15] ?? 0);
  const high = ZERO_POINT + (HALF_UNITS[byte >> 4] ?? 0);
  return low | (high << 8);
});

/** 2^(byte - 127) in f32: byte 0 is the denormal 2^-127, byte 255 is NaN. */
const scaleValues = Float32Array.from({ length: 256 }, (_, byte) => (byte === E8M0_NAN ? NaN : 2 ** (byte - 127)));

/** 2^(byte - 128), the scale of half units, in f32: bytes 0 and 1 are denormal, byte 255 is NaN. */
const halfScaleValues = Float32Array.from({ length: 256 }, (_, byte) => (byte === E8M0_NAN ? NaN : 2 ** (byte - 128)));

/** MXFP4 weights as ONNX Runtime's MatMulNBits takes them with bits = 8 and block_size = 32, no value changed. */
export interface HalfUnitWeights {
  /** U8 [rows, blocks, 32]: twice the E2M1 value, plus 128. In [116, 140]. */
  readonly codes: Uint8Array;
  /** F32 [rows, blocks]: half the block's scale, a power of two. Value = (code - 128) * scale. */
  readonly scales: Float32Array;
}

/**
 * Decodes blocks to f32.
 *
 * value = E2M1(code) * 2^(scale - 127); a scale of 255 makes its 32 values NaN. Where a product has no f32 of its own
 * it is the nearest one (overflow gives infinity: 6 * 2^127; denormals are kept: 0.5 * 2^-127 = 2^-128).
 *
 * @param blocks U8 [blocks, 16], low nibble first.
 * @param scales U8 [blocks].
 * @param out F32 [blocks, 32]; default a new one.
 * @throws InvalidTensorDataError where the sizes do not agree.
 */
export function decodeMxfp4(blocks: Uint8Array, scales: Uint8Array, out?: Float32Array): Float32Array {
  checkSizes(blocks, scales);
  const values = out ?? new Float32Array(scales.length * MXFP4_BLOCK);
  checkOutput(values.length, scales.length * MXFP4_BLOCK);
  let to = 0;
  let from = 0;
  for (const exponent of scales) {
    const scale = scaleValues[exponent] ?? NaN;
    for (let i = 0; i < MXFP4_BLOCK / 2; i++) {
      const entry = (blocks[from++] ?? 0) << 1;
      values[to++] = (byteValues[entry] ?? 0) * scale;
      values[to++] = (byteValues[entry + 1] ?? 0) * scale;
    }
  }
  return values;
}

/**
 * Rewrites blocks as half-unit integers with power-of-two scales.
 *
 * Exact: (code - 128) * scale in f32 is what decodeMxfp4 gives, except that negative zero becomes zero.
 *
 * @param blocks U8 [blocks, 16], low nibble first.
 * @param scales U8 [blocks].
 * @param out where to write; default new arrays of [blocks, 32] and [blocks].
 * @throws InvalidTensorDataError where the sizes do not agree.
 */
export function mxfp4ToHalfUnits(blocks: Uint8Array, scales: Uint8Array, out?: HalfUnitWeights): HalfUnitWeights {
  checkSizes(blocks, scales);
  const codes = out?.codes ?? new Uint8Array(scales.length * MXFP4_BLOCK);
  const halfScales = out?.scales ?? new Float32Array(scales.length);
  checkOutput(codes.length, scales.length * MXFP4_BLOCK);
  checkOutput(halfScales.length, scales.length);
  for (const [block, exponent] of scales.entries()) halfScales[block] = halfScaleValues[exponent] ?? NaN;
  if (codes.byteOffset % 2 === 0 && littleEndian) {
    const pairs = new Uint16Array(codes.buffer, codes.byteOffset, codes.length / 2);
    for (let i = 0; i < blocks.length; i++) pairs[i] = byteCodes[blocks[i] ?? 0] ?? 0;
  } else {
    for (let i = 0; i < blocks.length; i++) {
      const pair = byteCodes[blocks[i] ?? 0] ?? 0;
      codes[2 * i] = pair & 0xff;
      codes[2 * i + 1] = pair >> 8;
    }
  }
  return { codes, scales: halfScales };
}

/** One expert of an MXFP4 tensor: its codes U8 [rows * columns / 32, 16] and its scales U8 [rows * columns / 32], not copied. */
export function mxfp4Expert(tensor: Mxfp4Tensor, expert: number): { blocks: Uint8Array; scales: Uint8Array } {
  const [experts, rows, columns] = tensor.shape;
  if (!Number.isInteger(expert) || expert < 0 || expert >= experts) {
    throw new InvalidTensorDataError(tensor.blocks.name, `expert ${expert}`, `a whole number from 0 to ${experts - 1}`);
  }
  const blocks = (rows * columns) / MXFP4_BLOCK;
  return {
    blocks: tensor.blocks.bytes.subarray(expert * blocks * 16, (expert + 1) * blocks * 16),
    scales: tensor.scales.bytes.subarray(expert * blocks, (expert + 1) * blocks),
  };
}

const littleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

function checkSizes(blocks: Uint8Array, scales: Uint8Array): void {
  if (blocks.length !== scales.length * 16) {
    throw new InvalidTensorDataError(
      'MXFP4',
      `${blocks.length} bytes of codes for ${scales.length} scales`,
      `16 bytes a scale, ${scales.length * 16}`,
    );
  }
}

function checkOutput(found: number, expected: number): void {
  if (found !== expected) {
    throw new InvalidTensorDataError('MXFP4', `an output of ${found} elements`, `${expected} elements`);
  }
}
