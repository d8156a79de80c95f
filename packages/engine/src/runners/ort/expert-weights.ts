import { MXFP4_BLOCK, readFloats, tensorByteLength } from '@switchyard/models';
import type { Bf16ExpertTensor, GptOssLayerWeights, Mxfp4Tensor, Tensor } from '@switchyard/models';
import { f32Constant, f32View } from './dense-weights.ts';
import type { Constant } from './graph.ts';
import type { Weight } from './weight.ts';

/** The tensors of a layer's experts. */
export function expertTensors({ gateUp, down }: Pick<GptOssLayerWeights, 'gateUp' | 'down'>): Tensor[] {
  return [gateUp, down].flatMap(({ weight, bias }) =>
    weight.kind === 'mxfp4' ? [weight.blocks, weight.scales, bias] : [weight.tensor, bias],
  );
}

/** Weights in one block, and one scale, of both MXFP4 and MatMulNBits. */
export const BLOCK = MXFP4_BLOCK;

/** The order in which a matrix's rows are read: row i of the result is row `order(i)` of the checkpoint's. */
export type RowOrder = (row: number, rows: number) => number;

/** Rows as they are. */
export const inOrder: RowOrder = (row) => row;

/** The even rows (gate), then the odd ones (up): GPT-OSS interleaves the two halves of its SwiGLU. */
export const gateThenUp: RowOrder = (row, rows) => (row < rows / 2 ? 2 * row : 2 * row - rows + 1);

/** One expert's matrix as f32 [columns, rows], ready for `x @ W`. */
export function expertAsF32(weight: Bf16ExpertTensor, expert: number, order: RowOrder): Constant {
  const [, rows, columns] = weight.shape;
  const stored = readFloats(weight.tensor, expert * rows * columns, rows * columns);
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
  const [experts, rows, columns] = weight.shape;
  return {
    constants: [{ name, type: 'float32', shape: [columns, rows] }],
    write([target], reader) {
      target?.set(expertAsF32(weight, expert, order).bytes);
      reader.skip(tensorByteLength(weight.tensor) / experts);
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
  const rowBytes = (columns * bits) / 8;
  return {
    constants: [
      { name, type: 'uint8', shape: [rows, perRow, (BLOCK * bits) / 8] },
      { name: `${name}Scales`, type: 'float32', shape: [rows * perRow] },
    ],
    write([blocks, scales], reader) {
      const steps = f32View(scales as Uint8Array);
      const targets = targetsOf(order, rows);
      const rowsAtOnce = Math.max(1, Math.floor(reader.kernel.mostBlocks / perRow));
      for (let first = 0; first < rows; first += rowsAtOnce) {
        const count = Math.min(rowsAtOnce, rows - first);
        const start = (expert * rows + first) * perRow;
        const converted = reader.kernel.mxfp4(reader, weight, start, count * perRow, bits);
        for (let row = 0; row < count; row++) {
          const target = targets[first + row] as number;
          blocks?.set(converted.codes.subarray(row * rowBytes, (row + 1) * rowBytes), target * rowBytes);
          steps.set(converted.scales.subarray(row * perRow, (row + 1) * perRow), target * perRow);
        }
        reader.piece();
      }
    },
  };
}

/** Where each of the checkpoint's rows goes. */
function targetsOf(order: RowOrder, rows: number): Int32Array {
  const targets = new Int32Array(rows);
  for (let row = 0; row < rows; row++) {
    targets[order(row, rows)] = row;
  }
  return targets;
}
