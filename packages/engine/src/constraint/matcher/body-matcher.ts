/**
 * Which tokens may come next in a body, and the body so far.
 *
 * A value that is in progress leaves most tokens either inside of it or outside, whatever stands around it: that is
 * found once for each of its places and kept. Only for tokens that lead out of it is the rest looked at.
 */

import { allowToken, type TokenMask, tokenMaskWords } from '../../sampling/token-mask.ts';
import { LeastRecentMap } from '../least-recent-map.ts';
import { Cursor, Frame, type Thread } from './cursor.ts';
import type { StatePart } from './characters.ts';
import type { Grammar, LexemePlace } from './grammar.ts';
import { CLOSED, type Lexeme, REFUSED } from './lexeme.ts';
import type { TokenTrie } from './token-trie.ts';

/** Sets of places whose tokens are kept for one vocabulary: some 25 KB each where it has 200,000 tokens. */
const KEPT_MASKS = 4000;

/** What is known of a set of places. */
interface Inside {
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

  constructor(trie: TokenTrie, vocabularySize: number) {
    this.trie = trie;
    this.words = tokenMaskWords(vocabularySize);
  }
}

let nextId = 0;

/** Keeps what is found for a grammar's places. */
export class GrammarMasks {
  readonly grammar: Grammar;
  readonly tokens: TokenMasks;
  readonly #id = nextId++;

  constructor(grammar: Grammar, tokens: TokenMasks) {
    this.grammar = grammar;
    this.tokens = tokens;
  }

  /** Of places in one value. */
  inside(places: readonly number[]): Inside {
    const [only] = places;
    const place = only === undefined || places.length > 1 ? null : this.grammar.place(only);
    // A lexeme's places are the same whatever the schema is.
    if (place?.kind !== 'lexeme') return this.#kept(`${this.#id} ${places.join(' ')}`, () => this.#find(places));
    const { lexeme, state } = place;
    return this.#kept(`lexeme ${lexeme.id} ${state}`, () => {
      const parts = lexeme.parts(state);
      return parts === null ? this.#find(places) : this.#compose(place, parts);
    });
  }

  #kept(key: string, find: () => Inside): Inside {
    let inside = this.tokens.known.get(key);
    if (inside === undefined) {
      inside = find();
      this.tokens.known.set(key, inside);
    }
    return inside;
  }

  #find(places: readonly number[]): Inside {
    const frame = new Frame(0);
    const walk = new Walk(new Cursor(this.grammar), this.tokens);
    walk.from(
      places.map((place) => ({ frame, place, data: null })),
      0,
    );
    return walk;
  }

  /** Whatever surrounds a part of a text, its own tokens are the same: only those that lead out of it are followed. */
  #compose(place: LexemePlace, parts: readonly StatePart[]): Inside {
    const { lexeme } = place;
    const mask = new Uint32Array(this.tokens.words);
    const exits = new Map<string, number[]>();
    const add = (suffix: string, ids: readonly number[]): void => {
      exits.set(suffix, [...(exits.get(suffix) ?? []), ...ids]);
    };
    for (const { alone, behind } of parts) {
      const part = this.#kept(`part ${lexeme.id} ${alone}`, () => this.#find([this.grammar.lexemePlace(place, alone)]));
      for (let word = 0; word < mask.length; word += 1) mask[word] = (mask[word] ?? 0) | (part.mask[word] ?? 0);
      for (const [suffix, ids] of part.exits) add(suffix, ids);
      if (behind === null) continue;
      for (const [suffix, ids] of part.leaving) {
        const rest = restOf(lexeme, behind, suffix);
        if (rest === '') for (const id of ids) allowToken(mask, id);
        else if (rest !== null) add(rest.slice(1), ids);
      }
    }
    return { mask, exits, leaving: NONE };
  }
}

const NONE: ReadonlyMap<string, readonly number[]> = new Map();

/** What is left of a suffix, with the byte that ends the lexeme before it; null for a suffix that is refused. */
function restOf(lexeme: Lexeme, from: number, suffix: string): string | null {
  let state = from;
  for (let at = 0; at < suffix.length; at += 1) {
    state = lexeme.next(state, suffix.charCodeAt(at));
    if (state === CLOSED) return suffix.slice(at);
    if (state === REFUSED) return null;
  }
  return '';
}

/** Tries every token. */
class Walk {
  readonly mask: TokenMask;
  readonly exits = new Map<string, number[]>();
  readonly leaving = new Map<string, number[]>();
  readonly #cursor: Cursor;
  readonly #trie: TokenTrie;
  #position = 0;

  constructor(cursor: Cursor, { trie, words }: TokenMasks) {
    this.#cursor = cursor;
    this.#trie = trie;
    this.mask = new Uint32Array(words);
  }

  /** @param position Where the tokens would begin. */
  from(threads: readonly Thread[], position: number): void {
    this.#position = position;
    this.#children(0, threads);
  }

  #children(node: number, threads: readonly Thread[]): void {
    const trie = this.#trie;
    if (this.#isPlain(node, threads)) {
      this.#allow(trie.own[node] ?? 0, trie.end(node));
      return;
    }
    const last = trie.after[node] ?? 0;
    const follows = this.#follows(threads);
    const position = this.#position + (trie.depth[node] ?? 0);
    for (let child = node + 1; child < last; child = trie.after[child] ?? last) {
      const byte = trie.bytes[child] ?? 0;
      const depth = trie.depth[child] ?? 0;
      if (follows?.[byte] === 1) this.#keep(this.leaving, trie.first[child] ?? 0, trie.end(child), depth - 1);
      const next = this.#cursor.advance(threads, byte, position);
      if (next.ended === 'before' || next.ended === 'both') {
        const after = outside('ended', byte);
        if (after !== null) this.#exit(child, depth - 1, after);
      }
      if (next.ended === 'with' || next.ended === 'both') this.#exit(child, depth, 'ended');
      if (next.threads.length === 0) continue;
      this.#allow(trie.first[child] ?? 0, trie.own[child] ?? 0);
      this.#children(child, next.threads);
    }
  }

  /** Whether all tokens below a node are characters of a string that takes any. */
  #isPlain(node: number, threads: readonly Thread[]): boolean {
    const [only] = threads;
    if (only === undefined || threads.length > 1) return false;
    const place = this.#cursor.grammar.place(only.place);
    if (place.kind !== 'lexeme' && place.kind !== 'key') return false;
    const run = place.lexeme.freeRun(place.state);
    if (run === 0 || (place.kind === 'key' && run < Infinity)) return false;
    return this.#trie.isPlain(node, run);
  }

  /** Where the threads are a part of a nested text that may end here: what may follow. */
  #follows([only]: readonly Thread[]): Uint8Array | null {
    const place = only === undefined ? null : this.#cursor.grammar.place(only.place);
    return place?.kind === 'lexeme' ? place.lexeme.follows(place.state) : null;
  }

  #allow(from: number, to: number): void {
    const { tokens } = this.#trie;
    for (let index = from; index < to; index += 1) allowToken(this.mask, tokens[index] ?? 0);
  }

  /**
   * Keeps the tokens of a subtree that lead out of the value.
   *
   * @param depth Where the value ends in them.
   */
  #exit(node: number, depth: number, after: Outside): void {
    const trie = this.#trie;
    this.#keep(this.exits, trie.first[node] ?? 0, trie.own[node] ?? 0, depth);
    const last = trie.after[node] ?? 0;
    for (let child = node + 1; child < last; child = trie.after[child] ?? last) {
      const next = outside(after, trie.bytes[child] ?? 0);
      if (next === 'inside') this.#keep(this.exits, trie.first[child] ?? 0, trie.end(child), depth);
      else if (next !== null) this.#exit(child, depth, next);
    }
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

/** Behind a value: before the comma, behind it, or inside of what comes then. */
type Outside = 'ended' | 'comma' | 'inside';

const CLOSERS = new Set(Array.from(' \n\t]}', (character) => character.charCodeAt(0)));
const OPENERS = new Set(Array.from('"{[-0123456789tfn', (character) => character.charCodeAt(0)));

/** What a byte behind a value is, whatever the grammar; null for what never stands there. */
function outside(at: Outside, byte: number): Outside | null {
  if (at === 'inside') return at;
  if (at === 'comma') return OPENERS.has(byte) ? 'inside' : CLOSERS.has(byte) ? at : null;
  if (byte === COMMA) return 'comma';
  return CLOSERS.has(byte) ? at : null;
}

const COMMA = 0x2c;

/** Follows one body. */
export class BodyMatcher {
  readonly #masks: GrammarMasks;
  readonly #cursor: Cursor;
  #threads: readonly Thread[];
  #length = 0;
  #ended = false;

  constructor(masks: GrammarMasks) {
    this.#masks = masks;
    this.#cursor = new Cursor(masks.grammar);
    this.#threads = [{ frame: new Frame(0), place: masks.grammar.root, data: null }];
  }

  /** Whether the body may end here. */
  get mayEnd(): boolean {
    const { grammar } = this.#masks;
    return this.#ended || this.#threads.some(({ frame, place }) => frame.returns.length === 0 && grammar.mayEnd(place));
  }

  /** Takes bytes whole or not at all. */
  accept(bytes: Uint8Array): boolean {
    if (bytes.length === 0) return false;
    this.#masks.grammar.language.budget.refill();
    let threads = this.#threads;
    let ended = false;
    for (const [at, byte] of bytes.entries()) {
      const next = this.#cursor.advance(threads, byte, this.#length + at);
      ({ threads } = next);
      ended = next.ended === 'with' || next.ended === 'both';
      if (threads.length === 0 && !(ended && at === bytes.length - 1)) return false;
    }
    this.#threads = threads;
    this.#length += bytes.length;
    this.#ended = ended;
    return true;
  }

  mask(): TokenMask {
    const { grammar, tokens } = this.#masks;
    grammar.language.budget.refill();
    const mask = new Uint32Array(tokens.words);
    const exact: Thread[] = [];
    const byFrame = new Map<Frame, number[]>();
    for (const thread of this.#threads) {
      const { frame, place } = thread;
      // Which items come next depends on the whole text of this one.
      if (grammar.usesData(place) || frame.returns.some(({ unique }) => unique)) exact.push(thread);
      else byFrame.set(frame, [...(byFrame.get(frame) ?? []), place]);
    }
    for (const [frame, places] of byFrame) {
      const inside = this.#masks.inside(places.sort((a, b) => a - b));
      for (let word = 0; word < mask.length; word += 1) mask[word] = (mask[word] ?? 0) | (inside.mask[word] ?? 0);
      for (const [suffix, ids] of inside.exits)
        if (this.#takes(frame, suffix)) for (const id of ids) allowToken(mask, id);
    }
    if (exact.length > 0) {
      const walk = new Walk(this.#cursor, tokens);
      walk.from(exact, this.#length);
      for (let word = 0; word < mask.length; word += 1) mask[word] = (mask[word] ?? 0) | (walk.mask[word] ?? 0);
      for (const id of walk.exits.get('') ?? []) allowToken(mask, id);
    }
    return mask;
  }

  /** Whether the values around a frame take what comes behind its end. */
  #takes(frame: Frame, suffix: string): boolean {
    if (suffix === '') return true;
    if (frame.returns.length === 0) return false;
    let taken = frame.suffixes.get(suffix);
    if (taken === undefined) {
      let threads: readonly Thread[] = frame.returns;
      let ended = false;
      for (let at = 0; at < suffix.length && (at === 0 || threads.length > 0); at += 1) {
        const next = this.#cursor.advance(threads, suffix.charCodeAt(at), this.#length + at);
        ({ threads } = next);
        ended = (next.ended === 'with' || next.ended === 'both') && at === suffix.length - 1;
      }
      taken = threads.length > 0 || ended;
      frame.suffixes.set(suffix, taken);
    }
    return taken;
  }
}
