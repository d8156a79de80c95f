import assert from 'node:assert/strict';
import fc from 'fast-check';
import { exactExp } from '../../src/sampling/exact-exp.ts';

describe('exactExp', () => {
  it('is 1 at 0 and 0 far below', () => {
    assert.equal(exactExp(0), 1);
    assert.equal(exactExp(-0), 1);
    assert.equal(exactExp(-709), 0);
    assert.equal(exactExp(Number.NEGATIVE_INFINITY), 0);
  });

  it('is within two units in the last place of Math.exp', () => {
    fc.assert(
      fc.property(fc.double({ min: -708, max: 0, noNaN: true }), (x) => {
        const expected = Math.exp(x);
        assert.ok(Math.abs(exactExp(x) - expected) <= 2 * 2 ** -52 * expected, `${exactExp(x)} for ${expected}`);
      }),
      { numRuns: 20_000 },
    );
  });

  it('never grows where x falls', () => {
    fc.assert(
      fc.property(
        fc.double({ min: -30, max: 0, noNaN: true }),
        fc.double({ min: 1e-12, max: 1e-3, noNaN: true }),
        (x, step) => {
          assert.ok(exactExp(x - step) <= exactExp(x));
        },
      ),
      { numRuns: 20_000 },
    );
  });

  // Made by another implementation, in Python: a device has to give these very bits as well.
  it('has the bits that are written down here', () => {
    const bits = (value: number): string => {
      const view = new DataView(new ArrayBuffer(8));
      view.setFloat64(0, value);
      return view.getBigUint64(0).toString(16).padStart(16, '0');
    };
    const expected: readonly (readonly [number, string])[] = [
      [-1e-9, '3fefffffff768fa1'],
      [-0.1, '3fecf46d99d52b3a'],
      [-0.5, '3fe368b2fc6f960a'],
      [-1, '3fd78b56362cef38'],
      [-2.3, '3fb9aa9046ec997c'],
      [-7.25, '3f47455fe323fafe'],
      [-24.26, '3dc0009eae9e656d'],
      [-100, '36ea8c1f14e2af5d'],
    ];
    assert.deepEqual(
      expected.map(([x]) => [x, bits(exactExp(x))]),
      expected,
    );
  });
});
