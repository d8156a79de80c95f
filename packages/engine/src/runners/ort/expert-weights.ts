import { readTensorBytes } from '@switchyard/models';
import type { Bf16ExpertTensor, Mxfp4Tensor } from '@switchyard/models';
import { f32Constant, readF32 } from './dense-weights.ts';
import type { Constant } from './graph.ts';

/** Weights in one block, and one scale, of both MXFP4 and MatMulNBits. */
export const BLOCK = 32;

/** MXFP4 (E2M1) codes 0 to 7 in half units; codes 8 to 15 are their negatives. */
const HALF_UNITS = Int8Array.of(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);

/** The order in which a matrix's rows are read: row i of the result is row `order(i)` of the checkpoint's. */
export type RowOrder = (row: number, rows: number) => number;

/** Rows as they are. */
export const inOrder: RowOrder = (row) => row;

/** The even rows (gate), then the odd ones (up): GPT-OSS interleaves the two halves of its SwiGLU. */
export const gateThenUp: RowOrder = (row, rows) => (row < rows / 2 ? 2 * row : 2 * row - rows + 1);

/** One expert's matrix as f32 [columns, rows], ready for `x @ W`. */
export function expertAsF32(weight: Bf16ExpertTensor, expert: number, order: RowOrder): Constant {
  const [, rows, columns] = weight.shape;
  const stored = readF32(weight.tensor, expert * rows * columns, rows * columns);
  // As bits: JavaScript may change a signaling NaN that passes through a number.
  const source = new Uint32Array(stored.buffer, stored.byteOffset, stored.length);
  const values = new Uint32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const from = order(row, rows);
    for (let column = 0; column < columns; column++) {
      const index = weight.transposed ? column * rows + from : from * columns + column;
      values[column * rows + row] = source[index] as number;
    }
  }
  return f32Constant(new Float32Array(values.buffer), [columns, rows]);
}

/** One expert's matrix as MatMulNBits takes it: B u8 [rows, blocks, bytes a block] and f32 scales [rows * blocks]. */
export function expertAsBlocks(
  weight: Mxfp4Tensor,
  expert: number,
  order: RowOrder,
  bits: 4 | 8,
): { readonly blocks: Constant; readonly scales: Constant } {
  const [, rows, columns] = weight.shape;
  const { codes, exponents } = expertBlocks(weight, expert);
  const blocksPerRow = columns / BLOCK;
  const bytesPerBlock = (BLOCK * bits) / 8;
  const blocks = new Uint8Array(rows * blocksPerRow * bytesPerBlock);
  const scales = new Float32Array(rows * blocksPerRow);
  const encode = bits === 8 ? encodeBlock8 : encodeBlock4;
  for (let row = 0; row < rows; row++) {
    for (let block = 0; block < blocksPerRow; block++) {
      const source = order(row, rows) * blocksPerRow + block;
      const target = row * blocksPerRow + block;
      const factor = encode(codes, source * (BLOCK / 2), blocks, target * bytesPerBlock);
      scales[target] = factor * halfUnitScale(exponents[source] as number);
    }
  }
  return {
    blocks: { type: 'uint8', shape: [rows, blocksPerRow, bytesPerBlock], bytes: blocks },
    scales: f32Constant(scales, [rows * blocksPerRow]),
  };
}

/** For each byte of two codes, the two half units around ONNX Runtime's default zero point of 128. */
const BYTES_8 = Uint8Array.from({ length: 512 }, (_, index) => {
  const byte = index >> 1;
  return 128 + (HALF_UNITS[index % 2 === 0 ? byte & 15 : byte >> 4] as number);
});

/** For each byte of two codes, the half unit of larger magnitude. */
const EXTREMES = Int8Array.from({ length: 256 }, (_, byte) => {
  const [low, high] = [HALF_UNITS[byte & 15] as number, HALF_UNITS[byte >> 4] as number];
  return Math.abs(low) >= Math.abs(high) ? low : high;
});

/** For each extreme of a block from -12 to 12 (row extreme + 12), each byte of two codes as two 4-bit steps. */
const BYTES_4 = Array.from({ length: 25 }, (_, row) => {
  const step = stepOf(row - 12);
  const encode = (code: number): number => Math.min(15, Math.round((HALF_UNITS[code] as number) / step) + 8);
  return Uint8Array.from({ length: 256 }, (_, byte) => encode(byte & 15) | (encode(byte >> 4) << 4));
});

/** Half units a 4-bit step: the block's extreme lands on the step -8, the others from -7 to 7. */
function stepOf(extreme: number): number {
  return extreme === 0 ? 1 : extreme / -8;
}

/** Half units as they are. Returns the scale's factor. */
function encodeBlock8(codes: Uint8Array, source: number, blocks: Uint8Array, target: number): number {
  for (let pair = 0; pair < BLOCK / 2; pair++) {
    const byte = codes[source + pair] as number;
    blocks[target + 2 * pair] = BYTES_8[2 * byte] as number;
    blocks[target + 2 * pair + 1] = BYTES_8[2 * byte + 1] as number;
  }
  return 1;
}

/** Half units rounded to 4-bit steps. Returns the scale's factor. */
function encodeBlock4(codes: Uint8Array, source: number, blocks: Uint8Array, target: number): number {
  let extreme = 0;
  for (let pair = 0; pair < BLOCK / 2; pair++) {
    const value = EXTREMES[codes[source + pair] as number] as number;
    if (Math.abs(value) > Math.abs(extreme)) {
      extreme = value;
    }
  }
  const bytes = BYTES_4[extreme + 12] as Uint8Array;
  for (let pair = 0; pair < BLOCK / 2; pair++) {
    blocks[target + pair] = bytes[codes[source + pair] as number] as number;
  }
  return stepOf(extreme);
}

/** 2^(exponent - 127) halved, as the scale of half units. */
function halfUnitScale(exponent: number): number {
  return 2 ** (exponent - 128);
}

function expertBlocks(
  weight: Mxfp4Tensor,
  expert: number,
): { readonly codes: Uint8Array; readonly exponents: Uint8Array } {
  const [, rows, columns] = weight.shape;
  const blocks = (rows * columns) / BLOCK;
  return {
    codes: readTensorBytes(weight.blocks, expert * blocks * (BLOCK / 2), (expert + 1) * blocks * (BLOCK / 2)),
    exponents: readTensorBytes(weight.scales, expert * blocks, (expert + 1) * blocks),
  };
}
