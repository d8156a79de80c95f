/**
 * Finding the largest logits without sorting the vocabulary.
 */

/** The index of the largest value; the lowest such index on ties. NaN is never chosen unless nothing else is there. */
export function indexOfLargest(values: Float32Array): number {
  let best = 0;
  let bestValue = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    if (value > bestValue) {
      bestValue = value;
      best = i;
    }
  }
  if (!Number.isNaN(values[best])) return best;
  return Math.max(0, values.indexOf(bestValue));
}

/**
 * The indices of the `count` largest values in descending order, lower index first on ties. NaN counts as -Infinity.
 * Keeps a heap whose root is the worst of the best so far: one comparison for most values, O(n log count) at worst.
 */
export function indicesOfLargest(values: Float32Array, count: number): Int32Array {
  const size = Math.min(count, values.length);
  const heap = new Int32Array(size);
  const valueAt = (index: number): number => {
    const value = values[index] as number;
    return Number.isNaN(value) ? Number.NEGATIVE_INFINITY : value;
  };
  const isWorse = (a: number, b: number): boolean => {
    const difference = valueAt(a) - valueAt(b);
    return difference < 0 || (!(difference > 0) && a > b && valueAt(a) === valueAt(b));
  };
  const siftDown = (start: number, end: number): void => {
    const moved = heap[start] as number;
    let parent = start;
    for (;;) {
      let child = 2 * parent + 1;
      if (child >= end) break;
      if (child + 1 < end && isWorse(heap[child + 1] as number, heap[child] as number)) child++;
      if (!isWorse(heap[child] as number, moved)) break;
      heap[parent] = heap[child] as number;
      parent = child;
    }
    heap[parent] = moved;
  };

  for (let i = 0; i < size; i++) heap[i] = i;
  for (let i = (size >>> 1) - 1; i >= 0; i--) siftDown(i, size);
  if (size > 0) {
    let worst = valueAt(heap[0] as number);
    for (let i = size; i < values.length; i++) {
      // An equal value has a higher index than everything in the heap, so it never displaces anything.
      if ((values[i] as number) > worst) {
        heap[0] = i;
        siftDown(0, size);
        worst = valueAt(heap[0]);
      }
    }
  }
  for (let end = size - 1; end > 0; end--) {
    const best = heap[end] as number;
    heap[end] = heap[0] as number;
    heap[0] = best;
    siftDown(0, end);
  }
  return heap;
}
