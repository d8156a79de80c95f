/**
 * Numbers of equal blocks of memory, handed out and shared by reference count.
 */

/** Which blocks are in use, and by how many sequences each. */
export class BlockPool {
  readonly size: number;
  readonly #holders: Uint32Array;
  /** Free blocks; the last one is handed out next. */
  readonly #free: Int32Array;
  #freeCount: number;

  /** @param size blocks, numbered from 0. */
  constructor(size: number) {
    this.size = size;
    this.#holders = new Uint32Array(size);
    this.#free = Int32Array.from({ length: size }, (_, index) => size - 1 - index);
    this.#freeCount = size;
  }

  get free(): number {
    return this.#freeCount;
  }

  /** A block for one holder; null where all are in use. */
  take(): number | null {
    if (this.#freeCount === 0) return null;
    this.#freeCount--;
    const block = this.#free[this.#freeCount] as number;
    this.#holders[block] = 1;
    return block;
  }

  /** Adds a holder. */
  share(block: number): void {
    this.#holders[block] = (this.#holders[block] as number) + 1;
  }

  isShared(block: number): boolean {
    return (this.#holders[block] as number) > 1;
  }

  /** Takes a holder away; the last one frees the block. */
  release(block: number): void {
    const holders = (this.#holders[block] as number) - 1;
    this.#holders[block] = holders;
    if (holders === 0) {
      this.#free[this.#freeCount] = block;
      this.#freeCount++;
    }
  }
}
