/**
 * Tries every token of a vocabulary at a place.
 */

import { type TokenMask, tokenMaskWords } from '../../sampling/token-mask.ts';
import { ALL_CODE_POINTS, type CodePointSet } from '../language/code-point-sets.ts';
import { LeastRecentMap } from '../least-recent-map.ts';
import type { CharacterRun } from './character-runs.ts';
import type { Cursor, Thread } from './cursor.ts';
import { FoundTokens, outside } from './found-tokens.ts';
import type { TextPlace } from './grammar.ts';
import { CLOSED } from './lexeme.ts';
import type { TokenTrie } from './token-trie.ts';
import { LONGEST_RUN, WithinSet } from './within-set.ts';

/** Sets of places whose tokens are kept for one vocabulary: some 25 KB each where it has 200,000 tokens. */
const KEPT_MASKS = 4000;
/** Sets of characters whose tokens are kept: some 5 MB each. */
const KEPT_SETS = 8;

/** What is known of a set of places. */
export interface Inside {
  /** Tokens that stay inside the value. */
  readonly mask: TokenMask;
  /** Tokens that lead out of it, by what they have behind its end. */
  readonly exits: ReadonlyMap<string, readonly number[]>;
  /** Tokens that lead out of a part of a nested text, by what they have behind it. */
  readonly leaving: ReadonlyMap<string, readonly number[]>;
}

/** The tokens of one vocabulary. */
export class TokenMasks {
  readonly trie: TokenTrie;
  readonly words: number;
  /** What is known of the places of all grammars. */
  readonly known = new LeastRecentMap<Inside>(KEPT_MASKS);
  readonly #sets = new LeastRecentMap<WithinSet>(KEPT_SETS);
  readonly #keys = new WeakMap<CodePointSet, string>();
  #last: { readonly set: CodePointSet; readonly within: WithinSet } | null = null;

  constructor(trie: TokenTrie, vocabularySize: number) {
    this.trie = trie;
    this.words = tokenMaskWords(vocabularySize);
    // Nearly every schema has a string of any characters.
    this.within(ALL_CODE_POINTS);
  }

  /** What is made of characters of a set. */
  within(set: CodePointSet): WithinSet {
    // A walk asks for one set at almost every node.
    if (set === this.#last?.set) return this.#last.within;
    let key = this.#keys.get(set);
    if (key === undefined) {
      key = set.map(({ from, to }) => `${from}-${to}`).join();
      this.#keys.set(set, key);
    }
    let within = this.#sets.get(key);
    if (within === undefined) {
      within = new WithinSet(this.trie, set, new Uint32Array(this.words));
      this.#sets.set(key, within);
    }
    this.#last = { set, within };
    return within;
  }
}

/** Whether a key has to be another than those so far, of which there are not many any more. */
function isCounted(place: TextPlace, state: number): boolean {
  return place.kind === 'key' && place.names !== null && place.lexeme.canRunOut(state);
}

/** Keys of a run that ends may run out in it. */
function runOf({ kind, lexeme }: TextPlace, state: number): CharacterRun | null {
  const run = lexeme.run(state);
  return kind === 'key' && run?.length !== Infinity ? null : run;
}

export class TokenWalk {
  readonly #found: FoundTokens;
  readonly #cursor: Cursor;
  readonly #tokens: TokenMasks;
  readonly #trie: TokenTrie;
  #position = 0;

  constructor(cursor: Cursor, tokens: TokenMasks) {
    this.#cursor = cursor;
    this.#tokens = tokens;
    this.#trie = tokens.trie;
    this.#found = new FoundTokens(tokens.trie, tokens.words);
  }

  /** @param position Where the tokens would begin. */
  from(threads: readonly Thread[], position: number): Inside {
    this.#position = position;
    this.#children(0, threads);
    return this.#found;
  }

  #children(node: number, threads: readonly Thread[]): void {
    const [only] = threads;
    if (only !== undefined && threads.length === 1) {
      const place = this.#cursor.grammar.place(only.place);
      // Where keys may run out, each byte has to be looked at.
      const isText = place.kind === 'lexeme' || (place.kind === 'key' && !isCounted(place, place.state));
      if (isText) return this.#inText(node, only, place, place.state, node === 0 ? this.#allowRun(place) : null);
    }
    const trie = this.#trie;
    const last = trie.after[node] ?? 0;
    for (let child = node + 1; child < last; child = trie.after[child] ?? last) this.#step(child, threads);
  }

  /** Allows at once all tokens that are a long run's; null where there is none. */
  #allowRun(place: TextPlace): WithinSet | null {
    const run = runOf(place, place.state);
    if (run === null || run.length < LONGEST_RUN) return null;
    const within = this.#tokens.within(run.set);
    this.#found.allowAll(within.mask);
    return within;
  }

  /**
   * Inside of a string, a key or a number, bytes need no threads.
   *
   * @param allowed The set whose tokens are allowed already, where the node is one of its prefixes.
   */
  #inText(node: number, thread: Thread, place: TextPlace, state: number, allowed: WithinSet | null): void {
    const { lexeme } = place;
    const run = allowed === null ? runOf(place, state) : null;
    const within = run === null ? null : this.#tokens.within(run.set);
    const length = run?.length ?? 0;
    if (within?.isWithin(node, length) === true) return this.#allowBelow(node);
    const follows = lexeme.follows(state);
    const ends = lexeme.accepts(state);
    const trie = this.#trie;
    const { bytes } = this.#cursor;
    const position = this.#position + (trie.depth[node] ?? 0);
    const last = trie.after[node] ?? 0;
    let threads: readonly Thread[] | null = null;
    let child = allowed === null ? node + 1 : allowed.firstMixed(node);
    while (child !== 0 && child < last) {
      const byte = trie.bytes[child] ?? 0;
      if (follows?.[byte] === 1) this.#found.leave(child, (trie.depth[child] ?? 0) - 1);
      if (within?.hasBelow(child, length) === true) {
        this.#found.allow(trie.first[child] ?? 0, trie.end(child));
      } else {
        const next = lexeme.next(state, byte);
        if (next >= 0 && !isCounted(place, next)) {
          bytes[position] = byte;
          this.#found.allow(trie.first[child] ?? 0, trie.own[child] ?? 0);
          this.#inText(child, thread, place, next, allowed?.isPrefix(child) === true ? allowed : null);
        } else if (next >= 0 || next === CLOSED || ends) {
          threads ??= [{ ...thread, place: this.#cursor.grammar.textPlace(place, state) }];
          this.#step(child, threads);
        }
      }
      child = allowed === null ? (trie.after[child] ?? last) : allowed.nextMixed(child);
    }
  }

  /** Follows a node's byte. */
  #step(child: number, threads: readonly Thread[]): void {
    const trie = this.#trie;
    const byte = trie.bytes[child] ?? 0;
    const depth = trie.depth[child] ?? 0;
    const next = this.#cursor.advance(threads, byte, this.#position + depth - 1);
    if (next.ended === 'before' || next.ended === 'both') {
      const after = outside('ended', byte);
      if (after !== null) this.#found.exit(child, depth - 1, after);
    }
    if (next.ended === 'with' || next.ended === 'both') this.#found.exit(child, depth, 'ended');
    if (next.threads.length === 0) return;
    this.#found.allow(trie.first[child] ?? 0, trie.own[child] ?? 0);
    this.#children(child, next.threads);
  }

  /** All tokens below a node. */
  #allowBelow(node: number): void {
    this.#found.allow(this.#trie.own[node] ?? 0, this.#trie.end(node));
  }
}
