/**
 * Which tokens may come next in a body, and the body so far.
 *
 * A value that is in progress leaves most tokens either inside of it or outside, whatever stands around it: that is
 * found once for each of its places and kept. Only for tokens that lead out of it is the rest looked at.
 */

import { allowToken, type TokenMask } from '../../sampling/token-mask.ts';
import { Cursor, Frame, type Thread } from './cursor.ts';
import type { StatePart } from './characters.ts';
import type { Grammar, TextPlace } from './grammar.ts';
import { CLOSED, type Lexeme, REFUSED } from './lexeme.ts';
import { type Inside, type TokenMasks, TokenWalk } from './token-walk.ts';

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
    const walk = new TokenWalk(new Cursor(this.grammar), this.tokens);
    return walk.from(
      places.map((place) => ({ frame, place, data: null })),
      0,
    );
  }

  /** Whatever surrounds a part of a text, its own tokens are the same: only those that lead out of it are followed. */
  #compose(place: TextPlace, parts: readonly StatePart[]): Inside {
    const { lexeme } = place;
    const mask = new Uint32Array(this.tokens.words);
    const exits = new Map<string, number[]>();
    const add = (suffix: string, ids: readonly number[]): void => {
      exits.set(suffix, [...(exits.get(suffix) ?? []), ...ids]);
    };
    for (const { alone, behind } of parts) {
      const part = this.#kept(`part ${lexeme.id} ${alone}`, () => this.#find([this.grammar.textPlace(place, alone)]));
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
      const walk = new TokenWalk(this.#cursor, tokens);
      const found = walk.from(exact, this.#length);
      for (let word = 0; word < mask.length; word += 1) mask[word] = (mask[word] ?? 0) | (found.mask[word] ?? 0);
      for (const id of found.exits.get('') ?? []) allowToken(mask, id);
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
