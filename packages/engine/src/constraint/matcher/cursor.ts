/**
 * Follows a value byte by byte through a grammar. Everything that the bytes so far may be is followed at once.
 */

import { type Automaton, matches } from '../language/automaton.ts';
import type { Formula } from '../schema/formula.ts';
import { SchemaRefusal } from '../schema/refusal.ts';
import type { ArrayShape } from '../schema/shape.ts';
import { type Grammar, NO_PLACE } from './grammar.ts';
import type { Lexeme } from './lexeme.ts';
import type { Mark } from './place.ts';

/** What an object or array has had so far, where that decides what may follow. */
export type Data =
  | { readonly kind: 'object'; readonly seen: readonly string[]; readonly keyStart: number }
  /** The items so far, as what later items must not be. */
  | { readonly kind: 'array'; readonly others: readonly Formula[] };

interface Return {
  readonly frame: Frame;
  readonly place: number;
  readonly data: Data | null;
  readonly unique: boolean;
}

/** A value in progress; values inside of it return to it. */
export class Frame {
  /** Where the value's first byte stands. */
  readonly start: number;
  /** Where it goes on when the value ends; empty for the outermost. */
  readonly returns: Return[] = [];
  /** Which bytes behind the value's end the outer values take. */
  readonly suffixes = new Map<string, boolean>();

  constructor(start: number) {
    this.start = start;
  }
}

export interface Thread {
  readonly frame: Frame;
  readonly place: number;
  readonly data: Data | null;
}

export interface Advance {
  readonly threads: readonly Thread[];
  /** Whether the outermost value has ended with the byte, or had before it. */
  readonly ended: 'no' | 'with' | 'before' | 'both';
}

const decoder = new TextDecoder('utf-8', { fatal: false });

export class Cursor {
  readonly grammar: Grammar;
  /** The bytes so far; what is behind the position of an advance is of no account. */
  readonly bytes: number[] = [];

  constructor(grammar: Grammar) {
    this.grammar = grammar;
  }

  /** @param position Of the byte; those before it are in `bytes`. */
  advance(threads: readonly Thread[], byte: number, position: number): Advance {
    this.bytes[position] = byte;
    const [only] = threads;
    if (only !== undefined && threads.length === 1) {
      const place = this.grammar.inside(only.place, byte);
      if (place === NO_PLACE) return NOWHERE;
      if (place >= 0) return { threads: [{ frame: only.frame, place, data: only.data }], ended: 'no' };
    }
    return new Step(this, byte, position).run(threads);
  }
}

const NOWHERE: Advance = { threads: [], ended: 'no' };

/** One byte. */
class Step {
  readonly #cursor: Cursor;
  readonly #byte: number;
  readonly #position: number;
  readonly #threads: Thread[] = [];
  readonly #inner = new Map<number, { readonly formula: Formula; readonly frame: Frame }>();
  readonly #ended: { readonly frame: Frame; readonly how: 'with' | 'before' }[] = [];
  #outerWith = false;
  #outerBefore = false;

  constructor(cursor: Cursor, byte: number, position: number) {
    this.#cursor = cursor;
    this.#byte = byte;
    this.#position = position;
  }

  run(threads: readonly Thread[]): Advance {
    for (const { frame, place, data } of threads) this.#move(frame, place, data);
    for (const { formula, frame } of this.#inner.values()) {
      const { grammar } = this.#cursor;
      for (const { place } of grammar.move(grammar.start(formula), this.#byte).stays) this.#add(frame, place, null);
    }
    const how = this.#outerWith ? (this.#outerBefore ? 'both' : 'with') : this.#outerBefore ? 'before' : 'no';
    return { threads: this.#threads, ended: how };
  }

  #move(frame: Frame, place: number, data: Data | null): void {
    const { stays, calls, ends } = this.#cursor.grammar.move(place, this.#byte);
    for (const stay of stays) {
      const next = stay.mark === 'none' ? data : this.#mark(stay.mark, stay.place, data);
      if (next !== undefined) this.#add(frame, stay.place, next);
    }
    for (const { formula, back, unique } of calls)
      this.#call(unique ? this.#different(formula, data) : formula, { frame, place: back, data, unique });
    if (ends !== 'no') this.#end(frame, ends);
  }

  #add(frame: Frame, place: number, data: Data | null): void {
    const known = this.#threads.some((one) => one.frame === frame && one.place === place && one.data === data);
    if (!known) this.#threads.push({ frame, place, data });
  }

  #call(formula: Formula, back: Return): void {
    let inner = this.#inner.get(formula.id);
    if (inner === undefined) {
      inner = { formula, frame: new Frame(this.#position) };
      this.#inner.set(formula.id, inner);
    }
    inner.frame.returns.push(back);
  }

  #end(frame: Frame, how: 'with' | 'before'): void {
    if (this.#ended.some((one) => one.frame === frame && one.how === how)) return;
    this.#ended.push({ frame, how });
    if (frame.returns.length === 0) {
      if (how === 'with') this.#outerWith = true;
      else this.#outerBefore = true;
      return;
    }
    for (const back of frame.returns) {
      const data = back.unique ? this.#withItem(back.data, frame, how) : back.data;
      if (how === 'with') this.#add(back.frame, back.place, data);
      else this.#move(back.frame, back.place, data);
    }
  }

  /** The items of an array with the one that has just ended. */
  #withItem(data: Data | null, frame: Frame, how: 'with' | 'before'): Data {
    const end = how === 'with' ? this.#position + 1 : this.#position;
    const value: unknown = JSON.parse(textOf(this.#cursor.bytes, frame.start, end));
    const { language } = this.#cursor.grammar;
    const others = data?.kind === 'array' ? data.others : [];
    return { kind: 'array', others: [...others, language.formulas.not(language.constant(value))] };
  }

  #different(formula: Formula, data: Data | null): Formula {
    return data?.kind === 'array' ? this.#cursor.grammar.language.formulas.and([formula, ...data.others]) : formula;
  }

  /** Whether there are as many different items as have to follow, and one at least. */
  #hasAnother(array: ArrayShape, length: number, data: Data | null): boolean {
    const { language } = this.#cursor.grammar;
    const left = array.prefix.length > length ? 1 : Math.max(1, array.min - length);
    try {
      return language.items(array, length).some(({ formula }) => {
        const different = this.#different(formula, data);
        return left === 1 ? language.isProductive(different) : language.cardinality(different) >= left;
      });
    } catch (error) {
      // Too many items to tell apart: the array has to end.
      if (error instanceof SchemaRefusal) return false;
      throw error;
    }
  }

  /** The data after a marked byte; undefined where the byte must not stand here. */
  #mark(mark: Mark, to: number, data: Data | null): Data | null | undefined {
    const { grammar, bytes } = this.#cursor;
    const place = grammar.place(to);
    const seen = data?.kind === 'object' ? data.seen : [];
    const keyStart = data?.kind === 'object' ? data.keyStart : 0;
    switch (mark) {
      case 'none':
        return data;
      case 'key-start': {
        if (place.kind !== 'key' || place.names === null) return undefined;
        const other = isOther(place.lexeme, place.state, place.names, '', seen);
        return other ? { kind: 'object', seen, keyStart: this.#position + 1 } : undefined;
      }
      case 'key': {
        if (seen.length === 0) return data;
        if (place.kind !== 'key' || place.names === null) return undefined;
        if (!place.lexeme.canRunOut(place.state)) return data;
        const begun = wholeCharacters(bytes, keyStart, this.#position + 1);
        return isOther(place.lexeme, place.state, place.names, begun, seen) ? data : undefined;
      }
      case 'key-end': {
        const key = JSON.parse(`"${textOf(bytes, keyStart, this.#position)}"`) as string;
        return seen.includes(key) ? undefined : { kind: 'object', seen: [...seen, key], keyStart: 0 };
      }
      case 'item-next': {
        if (place.kind !== 'item') return undefined;
        return this.#hasAnother(place.array, place.so.length, data) ? data : undefined;
      }
      default:
        return mark satisfies never;
    }
  }
}

function isOther(lexeme: Lexeme, state: number, names: Automaton, begun: string, seen: readonly string[]): boolean {
  if (!lexeme.canRunOut(state)) return true;
  const taken = seen
    .filter((key) => key.startsWith(begun) && matches(names, key))
    .map((key) => key.slice(begun.length));
  return lexeme.canDiffer(state, taken);
}

function textOf(bytes: readonly number[], from: number, to: number): string {
  return decoder.decode(Uint8Array.from(bytes.slice(from, to)));
}

/** The characters of a string's content that are whole, without what may still become one. */
function wholeCharacters(bytes: readonly number[], from: number, to: number): string {
  const raw = Buffer.from(bytes.slice(from, to)).toString('latin1');
  const whole =
    /^(?:\\(?:u[dD][89abAB][0-9A-Fa-f]{2}\\u[0-9A-Fa-f]{4}|u(?![dD][89abAB])[0-9A-Fa-f]{4}|[^u])|[\xc0-\xdf][^]|[\xe0-\xef][^]{2}|[\xf0-\xf7][^]{3}|[^\\\x80-\xff])*/.exec(
      raw,
    );
  return JSON.parse(`"${Buffer.from(whole?.[0] ?? '', 'latin1').toString('utf8')}"`) as string;
}
