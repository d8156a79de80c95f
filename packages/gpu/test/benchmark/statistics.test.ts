import assert from 'node:assert/strict';
import fc from 'fast-check';
import { medianOf, quantile, statisticsOf } from '../../src/benchmark/statistics.ts';
import { BenchmarkSampleError } from '../../src/errors.ts';

describe('the statistics of samples', () => {
  it('are what they are of known samples', () => {
    const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
    assert.deepEqual(statisticsOf(hundred), { count: 100, median: 50.5, p99: 99, min: 1, max: 100 });
    assert.deepEqual(statisticsOf([3, 1, 2]), { count: 3, median: 2, p99: 3, min: 1, max: 3 });
    assert.deepEqual(statisticsOf([7]), { count: 1, median: 7, p99: 7, min: 7, max: 7 });
    assert.deepEqual(statisticsOf([1 / 3]).median, 0.333333);
  });

  it('do not depend on the order of the samples, and leave them as they are', () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: 1 }), (samples) => {
        const before = [...samples];
        assert.deepEqual(statisticsOf(samples), statisticsOf(samples.toReversed()));
        assert.deepEqual(samples, before);
      }),
    );
  });

  it('have at least half of the samples on either side of the median, and 99 of 100 at or below p99', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -9999, max: 9999 }), { minLength: 1 }), (samples) => {
        const { median, p99, min, max, count } = statisticsOf(samples);
        assert.ok(samples.filter((sample) => sample <= median).length * 2 >= count);
        assert.ok(samples.filter((sample) => sample >= median).length * 2 >= count);
        assert.ok(samples.filter((sample) => sample <= p99).length >= 0.99 * count);
        assert.ok(min <= median && median <= max && min <= p99 && p99 <= max);
      }),
    );
  });

  it('are refused of no samples, and of samples that are no numbers', () => {
    for (const samples of [[], [Number.NaN], [1, Number.POSITIVE_INFINITY], [Number.NEGATIVE_INFINITY, 2]]) {
      assert.throws(() => statisticsOf(samples), BenchmarkSampleError);
    }
  });

  it('of sorted samples are by nearest rank', () => {
    assert.equal(quantile([1, 2, 3, 4], 0.5), 2);
    assert.equal(quantile([1, 2, 3, 4], 0), 1);
    assert.equal(quantile([1, 2, 3, 4], 1), 4);
    assert.ok(Number.isNaN(quantile([], 0.5)));
    assert.ok(Number.isNaN(medianOf([])));
  });
});
