/**
 * How long answers wait from one token to the next, counted where tokens are made.
 */

/** The upper bounds of all but the last bucket, in seconds: vLLM's. */
export const INTERVAL_BOUNDS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
] as const;

/** Survives a structured clone. */
export interface IntervalCounts {
  /** How many intervals were at most each of `INTERVAL_BOUNDS` and longer than the bound before; the longest come last. */
  readonly buckets: readonly number[];
  /** Of all intervals, in seconds. */
  readonly sum: number;
}

/** Counts intervals. */
export class IntervalHistogram {
  readonly #buckets: number[] = Array.from({ length: INTERVAL_BOUNDS.length + 1 }, () => 0);
  #sum = 0;

  observe(milliseconds: number): void {
    const seconds = milliseconds / 1000;
    const found = INTERVAL_BOUNDS.findIndex((bound) => seconds <= bound);
    const bucket = found < 0 ? INTERVAL_BOUNDS.length : found;
    this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + 1;
    this.#sum += seconds;
  }

  get counts(): IntervalCounts {
    return { buckets: [...this.#buckets], sum: this.#sum };
  }
}
