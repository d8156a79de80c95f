import type { Bf16ExpertTensor, GptOssLayerWeights, Mxfp4Tensor, Tensor } from '@switchyard/models';
import { f32Constant, f32View, readF32 } from './dense-weights.ts';
import { byteLength } from './element-type.ts';
import type { Constant } from './graph.ts';
import type { Weight } from './weight.ts';
import { WeightReader } from './weight-reader.ts';

/** The tensors of a layer's experts. */
export function expertTensors({ gateUp, down }: Pick<GptOssLayerWeights, 'gateUp' | 'down'>): Tensor[] {
  return [gateUp, down].flatMap(({ weight, bias }) =>
    weight.kind === 'mxfp4' ? [weight.blocks, weight.scales, bias] : [weight.tensor, bias],
  );
}

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

/** One expert's matrix as `expertAsF32` makes it. */
export function expertF32Weight(name: string, weight: Bf16ExpertTensor, expert: number, order: RowOrder): Weight {
  const [, rows, columns] = weight.shape;
  return {
    constants: [{ name, type: 'float32', shape: [columns, rows] }],
    write([target], reader) {
      target?.set(expertAsF32(weight, expert, order).bytes);
      reader.skip(2 * rows * columns);
      reader.piece();
    },
  };
}

/** One expert's matrix as MatMulNBits takes it: B u8 [rows, blocks, bytes a block] and f32 scales [rows * blocks]. */
export function expertBlocksWeight(
  name: string,
  weight: Mxfp4Tensor,
  expert: number,
  order: RowOrder,
  bits: 4 | 8,
): Weight {
  const [, rows, columns] = weight.shape;
  const perRow = columns / BLOCK;
  const count = rows * perRow;
  const encode = bits === 8 ? encodeRow8 : encodeRow4;
  return {
    constants: [
      { name, type: 'uint8', shape: [rows, perRow, (BLOCK * bits) / 8] },
      { name: `${name}Scales`, type: 'float32', shape: [count] },
    ],
    write([blocks, scales], reader) {
      const codes = words(reader.read(weight.blocks, expert * count * BLOCK_BYTES, (expert + 1) * count * BLOCK_BYTES));
      const exponents = reader.read(weight.scales, expert * count, (expert + 1) * count, 1);
      const target = words(blocks as Uint8Array);
      const steps = f32View(scales as Uint8Array);
      for (let row = 0; row < rows; row++) {
        encode(codes, exponents, order(row, rows) * perRow, target, steps, row * perRow, perRow);
      }
      reader.piece();
    },
  };
}

/** The constants of `expertBlocksWeight`. */
export function expertAsBlocks(
  weight: Mxfp4Tensor,
  expert: number,
  order: RowOrder,
  bits: 4 | 8,
): { readonly blocks: Constant; readonly scales: Constant } {
  const form = expertBlocksWeight('expert', weight, expert, order, bits);
  const constants = form.constants.map(({ type, shape }) => ({
    type,
    shape,
    bytes: new Uint8Array(byteLength(type, shape)),
  }));
  form.write(
    constants.map(({ bytes }) => bytes),
    new WeightReader(),
  );
  const [blocks, scales] = constants as [Constant, Constant];
  return { blocks, scales };
}

/** Bytes and words of the codes of a block in the checkpoint. */
const BLOCK_BYTES = BLOCK / 2;
const BLOCK_WORDS = BLOCK_BYTES / 4;

/** For each byte of two codes, the two half units around ONNX Runtime's default zero point of 128, as u16. */
const BYTES_8 = Uint16Array.from({ length: 256 }, (_, byte) => {
  const [low, high] = [HALF_UNITS[byte & 15] as number, HALF_UNITS[byte >> 4] as number];
  return (128 + low) | ((128 + high) << 8);
});

/** For each byte of two codes, the half unit of larger magnitude, the low nibble's where they are equal. */
const EXTREMES = Int8Array.from({ length: 256 }, (_, byte) => {
  const [low, high] = [HALF_UNITS[byte & 15] as number, HALF_UNITS[byte >> 4] as number];
  return Math.abs(low) >= Math.abs(high) ? low : high;
});
const MAGNITUDES = Uint8Array.from(EXTREMES, Math.abs);
const LARGEST_MAGNITUDE = 12;

/** Half units a 4-bit step, by a block's extreme: the extreme lands on the step -8, the others from -7 to 7. */
const stepOf = (extreme: number): number => (extreme === 0 ? 1 : extreme / -8);
const STEPS = Float32Array.from({ length: 25 }, (_, index) => stepOf(index - LARGEST_MAGNITUDE));

/** [extreme + 12][byte]: a byte of two codes as two 4-bit steps, in blocks of that extreme. */
const BYTES_4 = Uint8Array.from({ length: 25 * 256 }, (_, index) => {
  const step = stepOf((index >> 8) - LARGEST_MAGNITUDE);
  const encode = (code: number): number => Math.min(15, Math.round((HALF_UNITS[code] as number) / step) + 8);
  return encode(index & 15) | (encode((index >> 4) & 15) << 4);
});

/** 2^(exponent - 127) halved, as the scale of half units. */
const HALF_UNIT_SCALES = Float64Array.from({ length: 256 }, (_, exponent) => 2 ** (exponent - 128));

/**
 * `count` neighbouring blocks from block `from` of the checkpoint's, written as blocks from `to` on. A word holds four
 * bytes of codes; which of them comes first does not matter but for the order of equal extremes.
 */
type EncodeRow = (
  codes: Uint32Array,
  exponents: Uint8Array,
  from: number,
  blocks: Uint32Array,
  scales: Float32Array,
  to: number,
  count: number,
) => void;

/** Half units as they are. */
const encodeRow8: EncodeRow = (codes, exponents, from, blocks, scales, to, count) => {
  let target = to * 2 * BLOCK_WORDS;
  for (let block = 0; block < count; block++) {
    const start = (from + block) * BLOCK_WORDS;
    for (let index = start; index < start + BLOCK_WORDS; index++) {
      const word = codes[index] as number;
      blocks[target++] = (BYTES_8[word & 255] as number) | ((BYTES_8[(word >>> 8) & 255] as number) << 16);
      blocks[target++] = (BYTES_8[(word >>> 16) & 255] as number) | ((BYTES_8[word >>> 24] as number) << 16);
    }
    scales[to + block] = HALF_UNIT_SCALES[exponents[from + block] as number] as number;
  }
};

/** Half units rounded to 4-bit steps. */
const encodeRow4: EncodeRow = (codes, exponents, from, blocks, scales, to, count) => {
  for (let block = 0; block < count; block++) {
    const start = (from + block) * BLOCK_WORDS;
    const target = (to + block) * BLOCK_WORDS - start;
    const extreme = extremeOf(codes, start);
    const table = (extreme + LARGEST_MAGNITUDE) << 8;
    for (let index = start; index < start + BLOCK_WORDS; index++) {
      const word = codes[index] as number;
      blocks[target + index] =
        (BYTES_4[table + (word & 255)] as number) |
        ((BYTES_4[table + ((word >>> 8) & 255)] as number) << 8) |
        ((BYTES_4[table + ((word >>> 16) & 255)] as number) << 16) |
        ((BYTES_4[table + (word >>> 24)] as number) << 24);
    }
    scales[to + block] =
      (STEPS[extreme + LARGEST_MAGNITUDE] as number) * (HALF_UNIT_SCALES[exponents[from + block] as number] as number);
  }
};

/** The half unit of largest magnitude in a block, the first of equals. */
function extremeOf(codes: Uint32Array, start: number): number {
  let most = 0;
  let byte = 0;
  for (let index = start; index < start + BLOCK_WORDS && most < LARGEST_MAGNITUDE; index++) {
    const word = codes[index] as number;
    for (let shift = 0; shift < 32; shift += 8) {
      const candidate = (word >>> shift) & 255;
      const magnitude = MAGNITUDES[candidate] as number;
      if (magnitude > most) {
        most = magnitude;
        byte = candidate;
      }
    }
  }
  return EXTREMES[byte] as number;
}

function words(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}
