/** Pairs are numbered `rank * POSITIONS + position`, so that one comparison orders them by rank, then from left to right. No text of JavaScript is longer. */
const POSITIONS = 2 ** 30;
const NO_RANK = -1;

/**
 * Byte-pair encoding in O(n log n), for pieces of text that are too long for an encoder that looks at every pair again
 * after each merge. The pair with the lowest rank is merged first, of equal ranks the leftmost.
 */
export class BytePairMerger {
  /** Bytes as characters U+0000 to U+00FF. */
  readonly #ranks = new Map<string, number>();
  readonly #longestToken: number;

  /** @param tokens the bytes of each token by id, which is its rank; undefined where text never becomes that token. */
  constructor(tokens: readonly (Uint8Array | undefined)[]) {
    let longest = 0;
    for (const [id, bytes] of tokens.entries()) {
      if (bytes === undefined) continue;
      this.#ranks.set(Buffer.from(bytes).toString('latin1'), id);
      longest = Math.max(longest, bytes.length);
    }
    this.#longestToken = longest;
  }

  /** A number of ids that one piece has at least. */
  fewestIds(text: string): number {
    return Math.ceil(text.length / this.#longestToken);
  }

  /** Appends the ids of one piece to `ids`. Every byte has to be a token by itself. */
  encode(text: string, ids: number[]): void {
    const bytes = Buffer.from(text, 'utf8').toString('latin1');
    const whole = this.#ranks.get(bytes);
    if (whole === undefined) this.#merge(bytes, ids);
    else ids.push(whole);
  }

  #merge(bytes: string, ids: number[]): void {
    const { length } = bytes;
    // Parts are known by where they start; `end[start]` is where the next one starts.
    const end = Int32Array.from({ length: length + 1 }, (_, start) => start + 1);
    const previous = Int32Array.from({ length: length + 1 }, (_, start) => start - 1);
    const pairRank = new Int32Array(length + 1).fill(NO_RANK);
    const queue = new MinimumQueue();
    const look = (start: number): void => {
      const middle = end[start] ?? length;
      const stop = middle < length ? (end[middle] ?? length) : length;
      const known = middle < length && stop - start <= this.#longestToken;
      const rank = (known ? this.#ranks.get(bytes.slice(start, stop)) : undefined) ?? NO_RANK;
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
      ids.push(this.#ranks.get(bytes.slice(start, end[start])) ?? 0);
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
