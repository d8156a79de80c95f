/**
 * Tokens that a walk over a vocabulary has found: those that stay inside of a value, and those that lead out of it.
 */

import { allowToken, type TokenMask } from '../../sampling/token-mask.ts';
import type { TokenTrie } from './token-trie.ts';

/** Behind a value: before the comma, behind it, or inside of what comes then. */
export type Outside = 'ended' | 'comma' | 'inside';

export class FoundTokens {
  /** Tokens that stay inside the value. */
  readonly mask: TokenMask;
  /** Tokens that lead out of it, by what they have behind its end. */
  readonly exits = new Map<string, number[]>();
  /** Tokens that lead out of a part of a nested text, by what they have behind it. */
  readonly leaving = new Map<string, number[]>();
  readonly #trie: TokenTrie;

  constructor(trie: TokenTrie, words: number) {
    this.#trie = trie;
    this.mask = new Uint32Array(words);
  }

  allowAll(mask: TokenMask): void {
    for (let word = 0; word < this.mask.length; word += 1) this.mask[word] = (this.mask[word] ?? 0) | (mask[word] ?? 0);
  }

  /** The tokens from one place of the trie's to another. */
  allow(from: number, to: number): void {
    const { tokens } = this.#trie;
    for (let index = from; index < to; index += 1) allowToken(this.mask, tokens[index] ?? 0);
  }

  /**
   * Keeps the tokens of a subtree that lead out of the value.
   *
   * @param depth Where the value ends in them.
   */
  exit(node: number, depth: number, after: Outside): void {
    const trie = this.#trie;
    this.#keep(this.exits, trie.first[node] ?? 0, trie.own[node] ?? 0, depth);
    const last = trie.after[node] ?? 0;
    for (let child = node + 1; child < last; child = trie.after[child] ?? last) {
      const next = outside(after, trie.bytes[child] ?? 0);
      if (next === 'inside') this.#keep(this.exits, trie.first[child] ?? 0, trie.end(child), depth);
      else if (next !== null) this.exit(child, depth, next);
    }
  }

  /**
   * Keeps the tokens of a subtree that lead out of a part of a nested text.
   *
   * @param depth Where the part ends in them.
   */
  leave(node: number, depth: number): void {
    this.#keep(this.leaving, this.#trie.first[node] ?? 0, this.#trie.end(node), depth);
  }

  #keep(bySuffix: Map<string, number[]>, from: number, to: number, depth: number): void {
    const trie = this.#trie;
    for (let index = from; index < to; index += 1) {
      const suffix = trie.text(index).slice(depth);
      const ids = bySuffix.get(suffix);
      if (ids === undefined) bySuffix.set(suffix, [trie.tokens[index] ?? 0]);
      else ids.push(trie.tokens[index] ?? 0);
    }
  }
}

const CLOSERS = new Set(Array.from(' \n\t]}', (character) => character.charCodeAt(0)));
const OPENERS = new Set(Array.from('"{[-0123456789tfn', (character) => character.charCodeAt(0)));
const COMMA = 0x2c;

/** What a byte behind a value is, whatever the grammar; null for what never stands there. */
export function outside(at: Outside, byte: number): Outside | null {
  if (at === 'inside') return at;
  if (at === 'comma') return OPENERS.has(byte) ? 'inside' : CLOSERS.has(byte) ? at : null;
  if (byte === COMMA) return 'comma';
  return CLOSERS.has(byte) ? at : null;
}
