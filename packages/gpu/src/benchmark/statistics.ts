/** From samples to the numbers that are kept of them. */

import { BenchmarkSampleError } from '../errors.ts';
import type { SampleStatistics } from './report.ts';

/** Digits that are kept: more than any clock here is good for. */
const SIGNIFICANT_DIGITS = 6;

/**
 * The numbers that are kept of samples, to six significant digits.
 *
 * @throws BenchmarkSampleError where there are none, or one of them is not finite
 */
export function statisticsOf(samples: readonly number[]): SampleStatistics {
  const wrong = samples.find((sample) => !Number.isFinite(sample));
  if (wrong !== undefined) throw new BenchmarkSampleError(`a sample is ${wrong}`);
  const sorted = samples.toSorted((a, b) => a - b);
  const [min, max] = [sorted[0], sorted.at(-1)];
  if (min === undefined || max === undefined) throw new BenchmarkSampleError('there are no samples');
  return {
    count: sorted.length,
    median: rounded(medianOf(sorted)),
    p99: rounded(quantile(sorted, 0.99)),
    min: rounded(min),
    max: rounded(max),
  };
}

/** The value at or below which a share of the sorted samples lies; nearest rank. NaN of no samples. */
export function quantile(sorted: readonly number[], share: number): number {
  const rank = Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1));
  return sorted[rank] ?? Number.NaN;
}

/** The middle of sorted samples; the mean of the middle two of an even number. NaN of no samples. */
export function medianOf(sorted: readonly number[]): number {
  const upper = sorted[sorted.length >> 1] ?? Number.NaN;
  const lower = sorted[(sorted.length - 1) >> 1] ?? Number.NaN;
  return (lower + upper) / 2;
}

function rounded(value: number): number {
  return Number(value.toPrecision(SIGNIFICANT_DIGITS));
}
