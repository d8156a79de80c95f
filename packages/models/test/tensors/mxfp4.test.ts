import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { InvalidTensorDataError } from '../../src/errors.ts';
import { decodeMxfp4, MXFP4_HALF_UNITS, mxfp4Expert } from '../../src/tensors/mxfp4.ts';
import type { Mxfp4Tensor, Tensor } from '../../src/tensors/tensor.ts';

/** E2M1 and E8M0 by the formulas of the specification, in f64 and rounded once. */
function decodeByFormula(blocks: Uint8Array, scales: Uint8Array): Float32Array {
  return Float32Array.from({ length: scales.length * 32 }, (_, element) => {
    const byte = blocks[element >> 1] ?? 0;
    const code = element % 2 === 0 ? byte & 15 : byte >> 4;
    const sign = code & 8 ? -1 : 1;
    const exponent = (code >> 1) & 3;
    const mantissa = code & 1;
    const magnitude = exponent === 0 ? mantissa * 0.5 : 2 ** (exponent - 1) * (1 + mantissa / 2);
    const scale = scales[element >> 5] ?? 0;
    return scale === 255 ? NaN : sign * magnitude * 2 ** (scale - 127);
  });
}

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

/** NaN has many bit patterns and all of them are right. */
function assertSameBits(found: Float32Array, expected: Float32Array): void {
  assert.equal(found.length, expected.length);
  const [foundBits, expectedBits] = [bitsOf(found), bitsOf(expected)];
  for (let i = 0; i < found.length; i++) {
    if (Number.isNaN(expected[i])) assert.ok(Number.isNaN(found[i]), `element ${i}`);
    else assert.equal(foundBits[i], expectedBits[i], `element ${i}`);
  }
}

/** Each code in both nibbles, in one block. */
const everyCode = Uint8Array.from({ length: 16 }, (_, code) => code | ((15 - code) << 4));

const blockList = fc.integer({ min: 0, max: 20 }).chain((blocks) =>
  fc.record({
    blocks: fc.uint8Array({ minLength: blocks * 16, maxLength: blocks * 16 }),
    scales: fc.uint8Array({ minLength: blocks, maxLength: blocks }),
  }),
);

function countingTensor(shape: readonly number[]): Tensor {
  const length = shape.reduce((product, size) => product * size, 1);
  return { name: 'weights', dtype: 'U8', shape, bytes: Uint8Array.from({ length }, (_, i) => i % 256) };
}

describe('MXFP4', () => {
  it('decodes every code under every scale as the formula does', () => {
    const scales = Uint8Array.from({ length: 256 }, (_, scale) => scale);
    const blocks = new Uint8Array(256 * 16);
    for (let block = 0; block < 256; block++) blocks.set(everyCode, block * 16);
    assertSameBits(decodeMxfp4(blocks, scales), decodeByFormula(blocks, scales));
  });

  it('decodes any blocks as the formula does', () => {
    fc.assert(
      fc.property(blockList, ({ blocks, scales }) => {
        assertSameBits(decodeMxfp4(blocks, scales), decodeByFormula(blocks, scales));
      }),
    );
  });

  it('takes the low nibble first', () => {
    const blocks = new Uint8Array(16);
    blocks[0] = 0x72;
    const values = decodeMxfp4(blocks, Uint8Array.of(127));
    assert.deepEqual([...values.subarray(0, 3)], [1, 6, 0]);
  });

  it('keeps denormal results and gives NaN for a scale of 255', () => {
    const blocks = new Uint8Array(32).fill(0x11);
    const values = decodeMxfp4(blocks, Uint8Array.of(0, 255));
    assert.equal(values[0], 2 ** -128);
    assert.ok(values.subarray(32).every(Number.isNaN));
  });

  it('has half units that are twice the values, whole and small', () => {
    const blocks = Uint8Array.from({ length: 16 }, (_, byte) => (byte < 8 ? 2 * byte + ((2 * byte + 1) << 4) : 0));
    const values = decodeMxfp4(blocks, Uint8Array.of(127));
    assert.deepEqual(
      MXFP4_HALF_UNITS.map((half) => half + 0),
      [...values.subarray(0, 16)].map((value) => 2 * value + 0),
    );
    assert.ok(MXFP4_HALF_UNITS.every((half) => Number.isInteger(half) && Math.abs(half) <= 12));
  });

  it('gives the same into new arrays as into given ones', () => {
    const scales = Uint8Array.of(120, 130);
    const blocks = Uint8Array.from({ length: 32 }, (_, i) => i * 8);
    assert.deepEqual(decodeMxfp4(blocks, scales, new Float32Array(64)), decodeMxfp4(blocks, scales));
  });

  it('cuts one expert out of a tensor', () => {
    const weights: Mxfp4Tensor = {
      kind: 'mxfp4',
      shape: [3, 2, 64],
      blocks: countingTensor([3, 2, 2, 16]),
      scales: countingTensor([3, 2, 2]),
    };
    const { blocks, scales } = mxfp4Expert(weights, 1);
    assert.deepEqual(blocks, weights.blocks.bytes.slice(64, 128));
    assert.deepEqual(scales, weights.scales.bytes.slice(4, 8));
    assert.throws(() => mxfp4Expert(weights, 3), InvalidTensorDataError);
    assert.throws(() => mxfp4Expert(weights, -1), InvalidTensorDataError);
  });

  it('refuses sizes that do not agree', () => {
    const scales = new Uint8Array(2);
    assert.throws(() => decodeMxfp4(new Uint8Array(31), scales), InvalidTensorDataError);
    assert.throws(() => decodeMxfp4(new Uint8Array(32), scales, new Float32Array(63)), InvalidTensorDataError);
  });
});
