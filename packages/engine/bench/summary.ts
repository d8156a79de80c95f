/** The median of some rounds, and the best of them: other load on the machine shows as a gap between the two. */
export interface Summary {
  readonly median: number;
  readonly best: number;
}

/** Four significant digits each. `best` says whether a high or a low value is good. */
export function summary(values: readonly number[], best: 'highest' | 'lowest'): Summary {
  const sorted = values.toSorted((a, b) => a - b);
  const extreme = best === 'highest' ? sorted.at(-1) : sorted[0];
  return { median: rounded(sorted[sorted.length >> 1] ?? 0), best: rounded(extreme ?? 0) };
}

/** To four significant digits. */
export function rounded(value: number): number {
  return Number(value.toPrecision(4));
}
