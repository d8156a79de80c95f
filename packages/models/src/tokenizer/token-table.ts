/**
 * The tokens of a vocabulary in three pieces of memory instead of an object for each, so that threads can share them
 * and nothing has to be built again.
 */

/** The memory of a TokenTable. Survives a structured clone, after which both sides see the same bytes. */
export interface TokenTableData {
  /** The bytes of all tokens, one after the other in the order of their ids. */
  readonly bytes: Uint8Array;
  /** Where each token's bytes end. */
  readonly ends: Uint32Array;
  /** A hash table with open addressing: ids of tokens that text may become, or -1. Its size is a power of two. */
  readonly slots: Int32Array;
  /** Bytes of the longest token that text may become. */
  readonly longest: number;
}

const NO_TOKEN = -1;

/** FNV-1a, see http://www.isthe.com/chongo/tech/comp/fnv/. */
function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0x811c9dc5;
  for (let at = start; at < end; at += 1) hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x01000193);
  return hash ^ (hash >>> 15);
}

/** Tokens by id and by bytes. */
export class TokenTable {
  readonly data: TokenTableData;
  readonly #mask: number;

  constructor(data: TokenTableData) {
    this.data = data;
    this.#mask = data.slots.length - 1;
  }

  /**
   * Builds the table.
   *
   * @param tokens the bytes of each token by id, no two alike.
   * @param special ids that text never becomes.
   */
  static of(tokens: readonly Uint8Array[], special: ReadonlySet<number>): TokenTable {
    const total = tokens.reduce((sum, { length }) => sum + length, 0);
    const bytes = new Uint8Array(new SharedArrayBuffer(total));
    const ends = new Uint32Array(new SharedArrayBuffer(tokens.length * Uint32Array.BYTES_PER_ELEMENT));
    // At most half full.
    const size = 2 ** Math.ceil(Math.log2(2 * tokens.length + 1));
    const slots = new Int32Array(new SharedArrayBuffer(size * Int32Array.BYTES_PER_ELEMENT)).fill(NO_TOKEN);
    let end = 0;
    let longest = 0;
    for (const [id, token] of tokens.entries()) {
      bytes.set(token, end);
      const start = end;
      end += token.length;
      ends[id] = end;
      if (special.has(id)) continue;
      longest = Math.max(longest, token.length);
      let slot = hashOf(bytes, start, end) & (size - 1);
      while (slots[slot] !== NO_TOKEN) slot = (slot + 1) & (size - 1);
      slots[slot] = id;
    }
    return new TokenTable({ bytes, ends, slots, longest });
  }

  get size(): number {
    return this.data.ends.length;
  }

  /** A view of one token's bytes, or undefined where there is no such id. */
  bytesOf(id: number): Uint8Array | undefined {
    const end = this.data.ends[id];
    return end === undefined ? undefined : this.data.bytes.subarray(this.#startOf(id), end);
  }

  /** The id of the token with these bytes, or -1. */
  find(bytes: Uint8Array, start: number, end: number): number {
    const { slots } = this.data;
    for (let slot = hashOf(bytes, start, end) & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const id = slots[slot] ?? NO_TOKEN;
      if (id === NO_TOKEN || this.#isToken(id, bytes, start, end)) return id;
    }
  }

  #startOf(id: number): number {
    return id === 0 ? 0 : (this.data.ends[id - 1] ?? 0);
  }

  #isToken(id: number, bytes: Uint8Array, start: number, end: number): boolean {
    const { bytes: own, ends } = this.data;
    const from = this.#startOf(id);
    if ((ends[id] ?? 0) - from !== end - start) return false;
    for (let at = start; at < end; at += 1) if (own[from + at - start] !== bytes[at]) return false;
    return true;
  }
}
