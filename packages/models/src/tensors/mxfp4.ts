/**
 * MXFP4 of the OCP Microscaling Formats (MX) Specification v1.0: blocks of 32 E2M1 values that share one E8M0 scale.
 * All functions are exact to the bit.
 */

import { InvalidTensorDataError } from '../errors.ts';
import { floatOutput } from './float-output.ts';
import type { Mxfp4Tensor } from './tensor.ts';

/** Elements that share a scale. */
export const MXFP4_BLOCK = 32;

/** Bytes of a block's codes: two values a byte, low nibble first. */
export const MXFP4_BLOCK_BYTES = MXFP4_BLOCK / 2;

/** The E8M0 byte that makes every element of its block NaN. */
export const E8M0_NAN = 255;

/** Twice the value of each E2M1 code: whole numbers, so that integer kernels can hold them exactly. */
export const MXFP4_HALF_UNITS: readonly number[] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/** The value of each E2M1 code; code 8 is negative zero. */
const VALUES: readonly number[] = MXFP4_HALF_UNITS.map((half, code) => (code === 8 ? -0 : half / 2));

/** Both values of a byte of codes: entry 2 * byte is the low nibble's, the next one the high nibble's. */
const byteValues = Float32Array.from({ length: 512 }, (_, i) => VALUES[(i & 1) === 0 ? (i >> 1) & 15 : i >> 5] ?? 0);

/** 2^(byte - 127) in f32: byte 0 is the denormal 2^-127, byte 255 is NaN. */
const scaleValues = Float32Array.from({ length: 256 }, (_, byte) => (byte === E8M0_NAN ? NaN : 2 ** (byte - 127)));

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
  const values = floatOutput('MXFP4', scales.length * MXFP4_BLOCK, out);
  let to = 0;
  let from = 0;
  for (const exponent of scales) {
    const scale = scaleValues[exponent] ?? NaN;
    for (let i = 0; i < MXFP4_BLOCK_BYTES; i++) {
      const entry = (blocks[from++] ?? 0) << 1;
      values[to++] = (byteValues[entry] ?? 0) * scale;
      values[to++] = (byteValues[entry + 1] ?? 0) * scale;
    }
  }
  return values;
}

/** One expert of an MXFP4 tensor: its codes U8 [rows * columns / 32, 16] and its scales U8 [rows * columns / 32], not copied. */
export function mxfp4Expert(tensor: Mxfp4Tensor, expert: number): { blocks: Uint8Array; scales: Uint8Array } {
  const [experts, rows, columns] = tensor.shape;
  if (!Number.isInteger(expert) || expert < 0 || expert >= experts) {
    throw new InvalidTensorDataError(tensor.blocks.name, `expert ${expert}`, `a whole number from 0 to ${experts - 1}`);
  }
  const blocks = (rows * columns) / MXFP4_BLOCK;
  return {
    blocks: tensor.blocks.bytes.subarray(
      expert * blocks * MXFP4_BLOCK_BYTES,
      (expert + 1) * blocks * MXFP4_BLOCK_BYTES,
    ),
    scales: tensor.scales.bytes.subarray(expert * blocks, (expert + 1) * blocks),
  };
}

function checkSizes(blocks: Uint8Array, scales: Uint8Array): void {
  if (blocks.length !== scales.length * MXFP4_BLOCK_BYTES) {
    throw new InvalidTensorDataError(
      'MXFP4',
      `${blocks.length} bytes of codes for ${scales.length} scales`,
      `${MXFP4_BLOCK_BYTES} bytes a scale, ${scales.length * MXFP4_BLOCK_BYTES}`,
    );
  }
}
