import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { bf16ToF32, decodeLogits, encodeLogits, f16ToF32, f32ToBf16, f32ToF16 } from '../src/number-formats.ts';

const FORMATS = [
  { name: 'bf16', decode: bf16ToF32, encode: f32ToBf16, largest: 0x7f7f, fractionBits: 7, bias: 127 },
  { name: 'f16', decode: f16ToF32, encode: f32ToF16, largest: 0x7bff, fractionBits: 10, bias: 15 },
] as const;

for (const { name, decode, encode, largest, fractionBits, bias } of FORMATS) {
  describe(`${name} conversion`, () => {
    it('decodes every pattern by the definition of the format', () => {
      const fractions = 2 ** fractionBits;
      for (let bits = 0; bits <= largest; bits++) {
        const exponent = Math.floor(bits / fractions);
        const fraction = bits % fractions;
        const value =
          exponent === 0
            ? fraction * 2 ** (1 - bias - fractionBits)
            : (1 + fraction / fractions) * 2 ** (exponent - bias);
        assert.equal(decode(bits), value);
        assert.equal(decode(bits | 0x8000), -value);
      }
      assert.equal(decode(largest + 1), Infinity);
      assert.equal(decode((largest + 1) | 0x8000), -Infinity);
      assert.ok(Number.isNaN(decode(largest + 2)));
    });

    it('gives every number back', () => {
      for (let bits = 0; bits <= largest + 1; bits++) {
        assert.equal(encode(decode(bits)), bits);
        assert.equal(encode(decode(bits | 0x8000)), bits | 0x8000);
      }
      assert.ok(Number.isNaN(decode(encode(NaN))));
    });

    it('rounds to the nearest, ties to even', () => {
      for (let bits = 0; bits < largest; bits++) {
        const low = decode(bits);
        const high = decode(bits + 1);
        const middle = low + (high - low) / 2;
        // Half of the smallest bf16 step is itself an f32, so every middle is exact.
        assert.equal(Math.fround(middle), middle);
        assert.equal(encode(middle), bits % 2 === 0 ? bits : bits + 1);
      }
      fc.assert(
        fc.property(
          fc.integer({ min: 0, max: largest - 1 }),
          fc.double({ min: 0, max: 1, noNaN: true }),
          (bits, share) => {
            const [low, high] = [decode(bits), decode(bits + 1)];
            const value = Math.fround(low + share * (high - low));
            const nearest = value - low < high - value ? bits : bits + 1;
            if (value - low !== high - value) assert.equal(encode(value), nearest);
          },
        ),
      );
    });

    it('rounds past the largest to infinity', () => {
      const step = decode(largest) - decode(largest - 1);
      if (name === 'f16') {
        assert.equal(encode(decode(largest) + step / 2), largest + 1);
        assert.equal(encode(decode(largest) + step * 0.49), largest);
      }
      assert.equal(encode(3.4028234663852886e38), largest + 1);
      assert.equal(encode(-Infinity), (largest + 1) | 0x8000);
    });
  });
}

describe('encodeLogits and decodeLogits', () => {
  it('are inverse on f32 and on numbers that a format has', () => {
    const values = new Float32Array([0, -0, 1, -2.5, 0.125, Infinity, -Infinity, NaN]);
    for (const dtype of ['bf16', 'f16', 'f32'] as const) {
      const decoded = decodeLogits(encodeLogits(values, dtype), dtype);
      assert.ok(decoded.every((value, i) => Object.is(value, values[i])));
    }
  });
});
