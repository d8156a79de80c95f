/**
 * Sequences kept after their request is done, so that a prompt that starts the same way need not be computed again.
 *
 * A sequence is kept with the tokens that its KV cache stands for. Where layers keep only a window, the KV of early
 * positions is gone by the end of an answer, and the sequence cannot be cut back to where the next turn of the
 * conversation differs: for such runners the scheduler also keeps a copy taken at the end of the prompt.
 */

/** A kept sequence. */
export interface CachedSequence {
  readonly sequence: number;
  /** The tokens in its KV cache. */
  readonly tokens: Int32Array;
  /** The first tokens whose KV is bit for bit what any prompt that starts with them computes. */
  readonly exact: number;
}

/** Least recently used first. Owns nothing: the scheduler releases what falls out. */
export class PrefixCache {
  readonly #capacity: number;
  #entries: CachedSequence[] = [];

  /** `capacity`: the most sequences kept, 0 and up. */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#entries.length;
  }

  /** Keeps a sequence and returns those that have to go for it: older ones, and those that it makes useless. */
  add(entry: CachedSequence): CachedSequence[] {
    if (this.#capacity === 0 || entry.tokens.length === 0) return [entry];
    const dropped: CachedSequence[] = [];
    this.#entries = this.#entries.filter((other) => {
      const same =
        other.tokens.length === entry.tokens.length && commonPrefix(other.tokens, entry.tokens) === entry.tokens.length;
      if (same) dropped.push(other);
      return !same;
    });
    this.#entries.push(entry);
    while (this.#entries.length > this.#capacity) dropped.push(...this.#entries.splice(0, 1));
    return dropped;
  }

  /** Entries that share at least `minimum` tokens with the prompt, longest shared prefix first. */
  matches(prompt: Int32Array, minimum: number): { entry: CachedSequence; length: number }[] {
    return this.#entries
      .map((entry) => ({ entry, length: commonPrefix(entry.tokens, prompt) }))
      .filter((match) => match.length >= minimum)
      .sort((a, b) => b.length - a.length);
  }

  /** Marks an entry as just used. */
  touch(entry: CachedSequence): void {
    this.#entries = [...this.#entries.filter((other) => other !== entry), entry];
  }

  /** Takes an entry out: the caller owns its sequence now. */
  take(entry: CachedSequence): void {
    this.#entries = this.#entries.filter((other) => other !== entry);
  }

  /** Takes out the entry that was used longest ago; null where there is none. */
  evict(): CachedSequence | null {
    return this.#entries.shift() ?? null;
  }
}

/** How many tokens two lists share from the start. */
export function commonPrefix(a: Int32Array, b: Int32Array): number {
  const end = Math.min(a.length, b.length);
  let length = 0;
  while (length < end && a[length] === b[length]) length++;
  return length;
}
