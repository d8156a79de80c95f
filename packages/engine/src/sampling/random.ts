/**
 * The random numbers of one request: xoshiro128** (Blackman and Vigna, 2018), seeded by splitmix32.
 * Pure 32-bit integer arithmetic, so that a seed gives the same numbers on every machine.
 */

/** Steps splitmix32's state by the golden ratio and mixes it (the finalizer of MurmurHash3). */
function splitmix32(state: number): number {
  let z = state | 0;
  z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
  z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
  return (z ^ (z >>> 16)) >>> 0;
}

const rotateLeft = (x: number, bits: number): number => (x << bits) | (x >>> (32 - bits));

/** A stream of random numbers that belongs to one request. */
export class RandomStream {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  /**
   * @param seed an integer from 0 to 2^53 - 1.
   * @param drawn how many numbers have been taken from it already. Defaults to 0.
   */
  constructor(seed: number, drawn = 0) {
    let state = (seed >>> 0) ^ Math.imul(Math.floor(seed / 2 ** 32), 0x9e3779b1);
    const next = (): number => {
      state = (state + 0x9e3779b9) | 0;
      return splitmix32(state);
    };
    this.#a = next();
    this.#b = next();
    this.#c = next();
    this.#d = next() | 1; // The all-zero state is the one that xoshiro never leaves.
    for (let count = 0; count < drawn; count++) this.next();
  }

  #next32(): number {
    const result = Math.imul(rotateLeft(Math.imul(this.#b, 5), 7), 9) >>> 0;
    const t = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= t;
    this.#d = rotateLeft(this.#d, 11);
    return result;
  }

  /** A number in [0, 1) with 53 random bits. */
  next(): number {
    const high = this.#next32() >>> 5;
    const low = this.#next32() >>> 6;
    return (high * 2 ** 26 + low) / 2 ** 53;
  }
}
