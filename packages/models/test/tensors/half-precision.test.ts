import assert from 'node:assert/strict';
import { InvalidTensorDataError } from '../../src/errors.ts';
import { decodeBf16, decodeF16 } from '../../src/tensors/half-precision.ts';

/** All 65536 patterns, little-endian. */
const everyHalf = new Uint8Array(131072);
for (let half = 0; half < 65536; half++) {
  everyHalf[2 * half] = half & 255;
  everyHalf[2 * half + 1] = half >> 8;
}

/** A binary floating point number by its definition. */
function byDefinition(half: number, exponentBits: number): number {
  const fractionBits = 15 - exponentBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half & 0x7fff) >> fractionBits;
  const fraction = (half & (2 ** fractionBits - 1)) / 2 ** fractionBits;
  if (exponent === 2 ** exponentBits - 1) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * fraction * 2 ** (1 - bias) : sign * (1 + fraction) * 2 ** (exponent - bias);
}

describe('half precision', () => {
  const formats = [
    ['bf16', decodeBf16, 8],
    ['f16', decodeF16, 5],
  ] as const;
  for (const [name, decode, exponentBits] of formats) {
    it(`decodes every ${name}, at any alignment`, () => {
      const shifted = new Uint8Array(everyHalf.length + 1);
      shifted.set(everyHalf, 1);
      for (const bytes of [everyHalf, shifted.subarray(1), Buffer.from(shifted.buffer, 1)]) {
        const values = decode(bytes);
        assert.equal(values.length, 65536);
        for (const [half, value] of values.entries()) {
          assert.ok(Object.is(value, byDefinition(half, exponentBits)), `${half}: ${value}`);
        }
      }
    });

    it(`writes ${name} into a given array, at any alignment, and refuses other sizes`, () => {
      const out = new Float32Array(3).subarray(1);
      decode(Uint8Array.of(0, 0x40, 0, 0xc0), out);
      assert.deepEqual([...out], [2, -2]);
      assert.throws(() => decode(new Uint8Array(3)), InvalidTensorDataError);
      assert.throws(() => decode(new Uint8Array(4), new Float32Array(1)), InvalidTensorDataError);
    });
  }
});
