/** Comparator networks: the order in which a shader compares its registers. Position 0 receives the largest. */

/** Compares positions [above, below]: the larger value goes to `above`, which is the lower number. */
export type Comparator = readonly [above: number, below: number];

/**
 * Batcher's odd-even merge sort of `count` values (Knuth, The Art of Computer Programming 5.2.2, algorithm M), without
 * the comparators on which the first `kept` outputs do not depend.
 */
export function sortingNetwork(count: number, kept: number = count): readonly Comparator[] {
  const comparators: Comparator[] = [];
  const width = nextPowerOfTwo(count);
  for (let p = width >> 1; p > 0; p >>= 1) {
    let q = width >> 1;
    let r = 0;
    let distance = p;
    for (;;) {
      for (let i = 0; i < count - distance; i++) {
        if ((i & p) === r) comparators.push([i, i + distance]);
      }
      if (q === p) break;
      distance = q - p;
      q >>= 1;
      r = p;
    }
  }
  return prune(comparators, kept);
}

/**
 * Sorts `count` values that fall and then rise, as merging two sorted lists leaves them: a bitonic merge, where a count
 * that is no power of two stands at the end of one that is, behind values too large to move.
 */
export function valleySortingNetwork(count: number): readonly Comparator[] {
  const comparators: Comparator[] = [];
  const width = nextPowerOfTwo(count);
  const missing = width - count;
  for (let half = width >> 1; half > 0; half >>= 1) {
    for (let i = missing; i < width; i++) {
      if ((i & half) === 0) comparators.push([i - missing, i - missing + half]);
    }
  }
  return comparators;
}

/** The smallest power of two that is at least `value`, for a value of at least 1. */
export function nextPowerOfTwo(value: number): number {
  return 2 ** Math.ceil(Math.log2(value));
}

function prune(comparators: readonly Comparator[], kept: number): readonly Comparator[] {
  const needed = new Set(Array.from({ length: kept }, (_, position) => position));
  return comparators
    .toReversed()
    .filter(([above, below]) => {
      if (!needed.has(above) && !needed.has(below)) return false;
      needed.add(above).add(below);
      return true;
    })
    .toReversed();
}
