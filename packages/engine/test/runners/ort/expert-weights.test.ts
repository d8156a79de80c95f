import assert from 'node:assert/strict';
import type { Bf16ExpertTensor, Mxfp4Tensor, Tensor } from '@switchyard/models';
import fc from 'fast-check';
import { byteLength } from '../../../src/runners/ort/element-type.ts';
import { expertAsF32, expertBlocksWeight, gateThenUp, inOrder } from '../../../src/runners/ort/expert-weights.ts';
import { WeightReader } from '../../../src/runners/ort/weight-reader.ts';

const [EXPERTS, ROWS, COLUMNS] = [2, 4, 64] as const;
const VALUES = [0, 0.5, 1, 1.5, 2, 3, 4, 6];

const weights = fc
  .tuple(
    fc.uint8Array({ minLength: (EXPERTS * ROWS * COLUMNS) / 2, maxLength: (EXPERTS * ROWS * COLUMNS) / 2 }),
    fc.array(fc.integer({ min: 100, max: 140 }), {
      minLength: (EXPERTS * ROWS * COLUMNS) / 32,
      maxLength: (EXPERTS * ROWS * COLUMNS) / 32,
    }),
  )
  .map(([codes, exponents]): Mxfp4Tensor => {
    const tensor = (shape: readonly number[], bytes: Uint8Array): Tensor => ({
      name: 'test',
      dtype: 'U8',
      shape,
      bytes,
    });
    return {
      kind: 'mxfp4',
      shape: [EXPERTS, ROWS, COLUMNS],
      blocks: tensor([EXPERTS, ROWS, COLUMNS / 32, 16], codes),
      scales: tensor([EXPERTS, ROWS, COLUMNS / 32], Uint8Array.from(exponents)),
    };
  });

/** The definition, element by element. */
function decoded(weight: Mxfp4Tensor, expert: number, row: number, column: number): number {
  const index = (expert * ROWS + row) * COLUMNS + column;
  const byte = weight.blocks.bytes[index >> 1] as number;
  const code = index % 2 === 0 ? byte & 15 : byte >> 4;
  const scale = 2 ** ((weight.scales.bytes[index >> 5] as number) - 127);
  return (code < 8 ? 1 : -1) * (VALUES[code & 7] as number) * scale;
}

function floats(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}

/** One expert's matrix as MatMulNBits takes it, in memory of its own. */
function blocksOf(weight: Mxfp4Tensor, expert: number, bits: 4 | 8): { blocks: Uint8Array; scales: Float32Array } {
  const form = expertBlocksWeight('expert', weight, expert, inOrder, bits);
  const targets = form.constants.map(({ type, shape }) => new Uint8Array(byteLength(type, shape)));
  form.write(targets, new WeightReader());
  const [blocks, scales] = targets as [Uint8Array, Uint8Array];
  return { blocks, scales: floats(scales) };
}

describe('expert weights for ONNX Runtime', () => {
  it('are exact as f32 from bf16 in both layouts, gate rows before up rows', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 2 * EXPERTS * ROWS * COLUMNS, maxLength: 2 * EXPERTS * ROWS * COLUMNS }),
        fc.nat(EXPERTS - 1),
        fc.boolean(),
        (bytes, expert, transposed) => {
          const shape = transposed ? [EXPERTS, COLUMNS, ROWS] : [EXPERTS, ROWS, COLUMNS];
          const tensor: Tensor = { name: 'test', dtype: 'BF16', shape, bytes };
          const weight: Bf16ExpertTensor = { kind: 'bf16', shape: [EXPERTS, ROWS, COLUMNS], tensor, transposed };
          const bits = new Uint32Array(floats(expertAsF32(weight, expert, gateThenUp).bytes).slice().buffer);
          [0, 2, 1, 3].forEach((source, row) => {
            for (let column = 0; column < COLUMNS; column++) {
              const place = transposed ? column * ROWS + source : source * COLUMNS + column;
              const index = 2 * (expert * ROWS * COLUMNS + place);
              const stored = (bytes[index] as number) | ((bytes[index + 1] as number) << 8);
              assert.equal((bits[column * ROWS + row] as number) >>> 16, stored);
            }
          });
        },
      ),
    );
  });

  it('are exact as 8-bit blocks', () => {
    fc.assert(
      fc.property(weights, fc.nat(EXPERTS - 1), (weight, expert) => {
        const { blocks, scales } = blocksOf(weight, expert, 8);
        blocks.forEach((code, index) => {
          const value = (code - 128) * (scales[index >> 5] as number);
          assert.equal(value + 0, decoded(weight, expert, Math.floor(index / COLUMNS), index % COLUMNS) + 0);
        });
      }),
    );
  });

  it('are within half a step as 4-bit blocks, a step being an eighth of the largest magnitude', () => {
    fc.assert(
      fc.property(weights, fc.nat(EXPERTS - 1), (weight, expert) => {
        const { blocks, scales } = blocksOf(weight, expert, 4);
        for (let index = 0; index < ROWS * COLUMNS; index++) {
          const byte = blocks[index >> 1] as number;
          const step = scales[index >> 5] as number;
          const value = ((index % 2 === 0 ? byte & 15 : byte >> 4) - 8) * step;
          const expected = decoded(weight, expert, Math.floor(index / COLUMNS), index % COLUMNS);
          // The step +8 does not exist: a magnitude as large as the extreme, of the other sign, is one step short.
          const isOpposite = expected === 8 * step;
          assert.ok(Math.abs(value - expected) <= Math.abs(step) * (isOpposite ? 1 : 0.5) + 1e-12);
        }
      }),
    );
  });
});
