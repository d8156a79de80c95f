import type { TokenTable } from './token-table.ts';

/** Pairs are numbered `rank * POSITIONS + position`, so that one comparison orders them by rank, then from left to right. No text of JavaScript is longer. */
const POSITIONS = 2 ** 30;
const NO_RANK = -1;

/** Bytes that a character of a text takes at most, in UTF-8. */
const LONGEST_CHARACTER = 3;
/** Bytes that are kept for pieces; longer ones get memory of their own. */
const SCRATCH_BYTES = 4096;

/**
 * Byte-pair encoding in O(n log n), for pieces of any length. The pair with the lowest rank is merged first, of equal
 * ranks the leftmost; a token's rank is its id.
 */
export class BytePairMerger {
  readonly #table: TokenTable;
  readonly #encoder = new TextEncoder();
  readonly #scratch = new Uint8Array(SCRATCH_BYTES);

  constructor(table: TokenTable) {
    this.#table = table;
  }

  /** A number of ids that one piece has at least. */
  fewestIds(text: string): number {
    return Math.ceil(text.length / this.#table.data.longest);
  }

  /** Appends the ids of one piece to `ids`. Every byte has to be a token by itself. */
  encode(text: string, ids: number[]): void {
    const most = LONGEST_CHARACTER * text.length;
    const bytes = most <= SCRATCH_BYTES ? this.#scratch : new Uint8Array(most);
    const { written } = this.#encoder.encodeInto(text, bytes);
    const whole = this.#table.find(bytes, 0, written);
    if (whole < 0) this.#merge(bytes, written, ids);
    else ids.push(whole);
  }

  #merge(bytes: Uint8Array, length: number, ids: number[]): void {
    const table = this.#table;
    const { longest } = table.data;
    // Parts are known by where they start; `end[start]` is where the next one starts.
    const end = Int32Array.from({ length: length + 1 }, (_, start) => start + 1);
    const previous = Int32Array.from({ length: length + 1 }, (_, start) => start - 1);
    const pairRank = new Int32Array(length + 1).fill(NO_RANK);
    const queue = new MinimumQueue();
    const look = (start: number): void => {
      const middle = end[start] ?? length;
      const stop = middle < length ? (end[middle] ?? length) : length;
      const known = middle < length && stop - start <= longest;
      const rank = known ? table.find(bytes, start, stop) : NO_RANK;
      pairRank[start] = rank;
      if (rank !== NO_RANK) queue.push(rank * POSITIONS + start);
    };
    for (let start = 0; start < length; start += 1) look(start);
    for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
      const start = next % POSITIONS;
      // A neighbour's merge has changed this pair since it was queued.
      if (pairRank[start] !== (next - start) / POSITIONS) continue;
      const middle = end[start] ?? length;
      const stop = end[middle] ?? length;
      end[start] = stop;
      previous[stop] = start;
      pairRank[middle] = NO_RANK;
      look(start);
      const before = previous[start] ?? NO_RANK;
      if (before >= 0) look(before);
    }
    for (let start = 0; start < length; start = end[start] ?? length) {
      ids.push(Math.max(0, table.find(bytes, start, end[start] ?? length)));
    }
  }
}

/** A binary heap of numbers, the smallest first. */
class MinimumQueue {
  readonly #heap: number[] = [];

  push(value: number): void {
    const heap = this.#heap;
    let child = heap.push(value) - 1;
    while (child > 0) {
      const parent = (child - 1) >>> 1;
      const above = heap[parent] ?? value;
      if (above <= value) break;
      heap[child] = above;
      child = parent;
    }
    heap[child] = value;
  }

  pop(): number | undefined {
    const heap = this.#heap;
    const [smallest] = heap;
    const moved = heap.pop();
    if (moved === undefined || heap.length === 0) return smallest;
    let parent = 0;
    for (;;) {
      const left = 2 * parent + 1;
      const leftValue = heap[left] ?? Number.POSITIVE_INFINITY;
      const rightValue = heap[left + 1] ?? Number.POSITIVE_INFINITY;
      const child = rightValue < leftValue ? left + 1 : left;
      const value = Math.min(leftValue, rightValue);
      if (value >= moved) break;
      heap[parent] = value;
      parent = child;
    }
    heap[parent] = moved;
    return smallest;
  }
}
