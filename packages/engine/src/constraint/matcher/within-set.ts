/**
 * What of a vocabulary is characters of one set that stand for themselves in a JSON string.
 */

import { allowToken, type TokenMask } from '../../sampling/token-mask.ts';
import type { CodePointSet } from '../language/code-point-sets.ts';
import { NO_CHARACTER, PARTIAL, type TokenTrie } from './token-trie.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** How many characters a subtree has at most; this for one that has others, too. */
const NOT_WITHIN = 255;
/** Longer tokens are looked at one by one: there are few. */
export const LONGEST_RUN = 32;

export class WithinSet {
  /** Tokens that are such characters, up to `LONGEST_RUN`, and nothing else. */
  readonly mask: TokenMask;
  readonly #codePoints: Int32Array;
  readonly #lengths: Uint8Array;
  /** For nodes that are such characters from the root on: how many, and one. */
  readonly #prefixes: Uint8Array;
  /** Children with tokens that the mask does not have: the first of a node, and the next of such a child; 0 for none. */
  readonly #firstMixed: Int32Array;
  readonly #nextMixed: Int32Array;

  /** @param mask Without any tokens. */
  constructor(trie: TokenTrie, set: CodePointSet, mask: TokenMask) {
    const isIn = new Uint8Array(0x110000);
    for (const { from, to } of set) isIn.fill(1, from, to + 1);
    isIn.fill(0, 0, 0x20);
    isIn[QUOTE] = 0;
    isIn[BACKSLASH] = 0;
    this.mask = mask;
    this.#codePoints = trie.codePoints;
    this.#lengths = lengthsOf(trie, isIn);
    const nodes = trie.codePoints.length;
    this.#prefixes = new Uint8Array(nodes);
    this.#firstMixed = new Int32Array(nodes);
    this.#nextMixed = new Int32Array(nodes);
    this.#findPrefixes(trie, isIn);
  }

  /** Whether everything below a node, which is between two characters, is at most so many characters of the set. */
  isWithin(node: number, characters: number): boolean {
    return (this.#lengths[node] ?? NOT_WITHIN) <= Math.min(characters, NOT_WITHIN - 1);
  }

  /** The same of a child of such a node, with its own byte: true only where that is known. */
  hasBelow(child: number, characters: number): boolean {
    if (this.#codePoints[child] === PARTIAL) return this.isWithin(child, characters);
    return this.isPrefix(child) && this.isWithin(child, characters - 1);
  }

  /** Whether a node is characters of the set from the root on. */
  isPrefix(node: number): boolean {
    return (this.#prefixes[node] ?? 0) > 0;
  }

  /** Of a node that is a prefix. */
  firstMixed(node: number): number {
    return this.#firstMixed[node] ?? 0;
  }

  nextMixed(child: number): number {
    return this.#nextMixed[child] ?? 0;
  }

  #findPrefixes(trie: TokenTrie, isIn: Uint8Array): void {
    const { after, first, own, tokens, codePoints } = trie;
    const prefixes = this.#prefixes;
    prefixes[0] = 1;
    for (let node = 0; node < prefixes.length; node += 1) {
      const count = prefixes[node] ?? 0;
      if (count === 0) continue;
      if (codePoints[node] !== PARTIAL && count <= LONGEST_RUN + 1) {
        for (let at = first[node] ?? 0; at < (own[node] ?? 0); at += 1) allowToken(this.mask, tokens[at] ?? 0);
      }
      const last = after[node] ?? 0;
      let before = 0;
      for (let child = node + 1; child < last; child = after[child] ?? last) {
        const codePoint = codePoints[child] ?? NO_CHARACTER;
        const isPart = codePoint === PARTIAL;
        const more = isPart ? count : Math.min(count + 1, NOT_WITHIN);
        const isPrefix = isPart || (codePoint >= 0 && isIn[codePoint] === 1);
        if (isPrefix) prefixes[child] = more;
        const below = this.#lengths[child] ?? NOT_WITHIN;
        if (isPrefix && below < NOT_WITHIN && more + below <= LONGEST_RUN + 1) continue;
        if (before === 0) this.#firstMixed[node] = child;
        else this.#nextMixed[before] = child;
        before = child;
      }
    }
  }
}

function lengthsOf({ after, first, own, codePoints }: TokenTrie, isIn: Uint8Array): Uint8Array {
  const lengths = new Uint8Array(codePoints.length);
  for (let node = codePoints.length - 1; node >= 0; node -= 1) {
    // Which characters a token may end inside of depends on what follows.
    let most = codePoints[node] === PARTIAL && (first[node] ?? 0) < (own[node] ?? 0) ? NOT_WITHIN : 0;
    const last = after[node] ?? 0;
    for (let child = node + 1; child < last && most < NOT_WITHIN; child = after[child] ?? last) {
      const codePoint = codePoints[child] ?? NO_CHARACTER;
      const below = lengths[child] ?? NOT_WITHIN;
      if (codePoint === NO_CHARACTER || (codePoint >= 0 && isIn[codePoint] === 0)) most = NOT_WITHIN;
      else most = Math.max(most, codePoint === PARTIAL ? below : Math.min(below + 1, NOT_WITHIN));
    }
    lengths[node] = most;
  }
  return lengths;
}
