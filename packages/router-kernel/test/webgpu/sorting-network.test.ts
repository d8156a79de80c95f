import assert from 'node:assert/strict';
import { nextPowerOfTwo, sortingNetwork, valleySortingNetwork } from '../../src/webgpu/kernel/sorting-network.ts';
import type { Comparator } from '../../src/webgpu/kernel/sorting-network.ts';

function run(network: readonly Comparator[], values: readonly number[]): number[] {
  const result = [...values];
  for (const [above, below] of network) {
    const [a, b] = [result[above] as number, result[below] as number];
    result[above] = Math.max(a, b);
    result[below] = Math.min(a, b);
  }
  return result;
}

describe('comparator networks', () => {
  // A comparator network sorts everything if it sorts every sequence of zeros and ones (Knuth 5.3.4, theorem Z).
  it('sort every sequence of zeros and ones, and keep the largest where outputs are dropped', () => {
    for (let count = 1; count <= 12; count++) {
      for (const kept of new Set([1, Math.ceil(count / 2), count])) {
        const network = sortingNetwork(count, kept);
        for (let bits = 0; bits < 2 ** count; bits++) {
          const values = Array.from({ length: count }, (_, i) => (bits >> i) & 1);
          const expected = values.toSorted((a, b) => b - a).slice(0, kept);
          assert.deepEqual(run(network, values).slice(0, kept), expected);
        }
      }
    }
  });

  it('sort every valley of zeros and ones, of every length to 32', () => {
    for (let count = 1; count <= 32; count++) {
      const network = valleySortingNetwork(count);
      for (let falls = 0; falls <= count; falls++) {
        for (let rises = falls; rises <= count; rises++) {
          const values = Array.from({ length: count }, (_, i) => Number(i < falls || i >= rises));
          assert.deepEqual(
            run(network, values),
            values.toSorted((a, b) => b - a),
          );
        }
      }
    }
  });

  it('take no more comparators than the methods promise', () => {
    assert.equal(sortingNetwork(4).length, 5);
    assert.equal(sortingNetwork(8).length, 19);
    assert.equal(sortingNetwork(32).length, 191);
    assert.equal(valleySortingNetwork(4).length, 4);
    assert.equal(valleySortingNetwork(8).length, 12);
  });

  it('finds powers of two', () => {
    assert.deepEqual([1, 2, 3, 8, 9].map(nextPowerOfTwo), [1, 2, 4, 8, 16]);
  });
});
