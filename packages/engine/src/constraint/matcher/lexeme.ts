/**
 * The strings and numbers of an automaton as bytes of JSON: UTF-8 characters, and in strings escapes. Steps are found
 * when they are first needed, and kept.
 */

import { type Automaton, CODE_POINTS, type Range, step } from '../language/automaton.ts';
import type { CharacterRun } from './character-runs.ts';
import type { Characters, StatePart } from './characters.ts';
import { NOTHING_READ, type Utf8Reading, readByte } from './utf8.ts';

/** The byte is not part of the lexeme. */
export const REFUSED = -1;
/** The byte ends the lexeme: a string's closing quote. */
export const CLOSED = -2;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** Bytes whose escapes are one letter. */
const SHORT_ESCAPES = new Map([
  [QUOTE, QUOTE],
  [BACKSLASH, BACKSLASH],
  [0x2f, 0x2f],
  [0x62, 0x08],
  [0x66, 0x0c],
  [0x6e, 0x0a],
  [0x72, 0x0d],
  [0x74, 0x09],
]);

/** What may still complete a character: code points `from` to `to`, by UTF-8 continuation bytes or hexadecimal digits. */
type Pending =
  | { readonly kind: 'whole' }
  | ({ readonly kind: 'utf8' } & Utf8Reading)
  | { readonly kind: 'escape' }
  | { readonly kind: 'hex'; readonly bits: number; readonly left: number }
  /** Behind an escaped high surrogate: the backslash, the u and the digits of its partner. */
  | { readonly kind: 'pair'; readonly high: number; readonly bits: number; readonly left: number };

const WHOLE: Pending = { kind: 'whole' };

interface State {
  readonly at: number;
  readonly pending: Pending;
}

export interface Lexeme {
  readonly id: number;
  readonly start: number;
  /** The state after a byte, REFUSED or CLOSED. */
  next(state: number, byte: number): number;
  /** Whether the lexeme may end before the next byte: numbers only. */
  accepts(state: number): boolean;
  /** Which characters may follow one another, and how many; null inside of a character. */
  run(state: number): CharacterRun | null;
  /**
   * Whether there is a string that begins as what has been read and is none of those that are taken.
   *
   * @param taken Of strings of the lexeme that begin with the whole characters that have been read: what follows those.
   */
  canDiffer(state: number, taken: readonly string[]): boolean;
  /** Whether there are finitely many strings that begin as what has been read: only then is there need to ask. */
  canRunOut(state: number): boolean;
  /**
   * What is worth looking at apart: the tokens that are possible are those that stay inside a part, and those that lead
   * out of one and go on behind it. Null for a state that is one whole.
   */
  parts(state: number): readonly StatePart[] | null;
  /** For a part: the bytes that may come behind its end; null where it does not end. */
  follows(state: number): Uint8Array | null;
}

let nextId = 0;

/** The content of a JSON string, and its closing quote. */
export class StringLexeme implements Lexeme {
  readonly id = nextId++;
  readonly start = 0;
  readonly #characters: Characters;
  readonly #states: State[] = [];
  readonly #numbers = new Map<string, number>();
  /** The states between two characters, by the automaton's. */
  readonly #wholes: (number | undefined)[] = [];
  readonly #rows: (Int32Array | undefined)[] = [];

  constructor(characters: Characters) {
    this.#characters = characters;
    this.#number({ at: 0, pending: WHOLE });
  }

  next(state: number, byte: number): number {
    let row = this.#rows[state];
    // Inside of a character, only bytes of one quarter follow.
    const isPart = this.#states[state]?.pending.kind === 'utf8';
    if (isPart && (byte & 0xc0) !== 0x80) return REFUSED;
    if (row === undefined) {
      row = new Int32Array(isPart ? 64 : 256).fill(UNKNOWN);
      this.#rows[state] = row;
    }
    const at = isPart ? byte & 0x3f : byte;
    const known = row[at] ?? REFUSED;
    if (known !== UNKNOWN) return known;
    const found = this.#find(this.#states[state], byte);
    row[at] = found;
    return found;
  }

  accepts(): boolean {
    return false;
  }

  run(state: number): CharacterRun | null {
    const found = this.#states[state];
    return found?.pending.kind === 'whole' ? this.#characters.run(found.at) : null;
  }

  canRunOut(state: number): boolean {
    const found = this.#states[state];
    if (found === undefined) return true;
    const { at, pending } = found;
    return this.#characters.canRunOut(at, pending.kind === 'whole' ? null : windowsOf(pending));
  }

  canDiffer(state: number, taken: readonly string[]): boolean {
    const found = this.#states[state];
    if (found === undefined) return false;
    const { at, pending } = found;
    return this.#characters.canDiffer(at, pending.kind === 'whole' ? null : windowsOf(pending), taken);
  }

  parts(state: number): readonly StatePart[] | null {
    const found = this.#states[state];
    if (found?.pending.kind !== 'whole') return null;
    const whole = (at: number): number => this.#number({ at, pending: WHOLE });
    const parts = this.#characters.parts(found.at);
    return (
      parts?.map(({ alone, behind }) => ({ alone: whole(alone), behind: behind === null ? null : whole(behind) })) ??
      null
    );
  }

  follows(state: number): Uint8Array | null {
    const found = this.#states[state];
    return found?.pending.kind === 'whole' ? this.#characters.follows(found.at) : null;
  }

  #find(state: State | undefined, byte: number): number {
    if (state === undefined) return REFUSED;
    const { at, pending } = state;
    switch (pending.kind) {
      case 'whole':
        return this.#character(at, byte);
      case 'utf8': {
        return this.#partial(at, readByte(byte, pending));
      }
      case 'escape': {
        const short = SHORT_ESCAPES.get(byte);
        if (short !== undefined) return this.#read(at, short);
        return byte === 0x75 ? this.#hex(at, { kind: 'hex', bits: 0, left: 4 }) : REFUSED;
      }
      case 'hex': {
        const digit = hexDigit(byte);
        return digit < 0
          ? REFUSED
          : this.#hex(at, { kind: 'hex', bits: pending.bits * 16 + digit, left: pending.left - 1 });
      }
      case 'pair': {
        if (pending.left > 4) {
          const expected = pending.left === 6 ? BACKSLASH : 0x75;
          return byte === expected ? this.#pair(at, { ...pending, left: pending.left - 1 }) : REFUSED;
        }
        const digit = hexDigit(byte);
        return digit < 0
          ? REFUSED
          : this.#pair(at, { ...pending, bits: pending.bits * 16 + digit, left: pending.left - 1 });
      }
      default:
        return pending satisfies never;
    }
  }

  #character(at: number, byte: number): number {
    if (byte === QUOTE) return this.#characters.accepts(at) ? CLOSED : REFUSED;
    if (byte === BACKSLASH) return this.#characters.reaches(at, 0, 0x10ffff) ? this.#escape(at) : REFUSED;
    if (byte < 0x20) return REFUSED;
    return this.#partial(at, readByte(byte, NOTHING_READ));
  }

  #read(at: number, codePoint: number): number {
    const target = this.#characters.step(at, codePoint);
    return target < 0 ? REFUSED : this.#number({ at: target, pending: WHOLE });
  }

  /** Some character can be written here as an escape, as every character can. */
  #escape(at: number): number {
    return this.#number({ at, pending: { kind: 'escape' } });
  }

  #partial(at: number, read: Utf8Reading | null): number {
    if (read === null) return REFUSED;
    const { bits, left, least } = read;
    return left > 0 ? this.#waiting(at, { kind: 'utf8', bits, left, least }) : this.#read(at, bits);
  }

  #hex(at: number, pending: Pending & { readonly kind: 'hex' }): number {
    const { bits, left } = pending;
    if (left > 0) return this.#waiting(at, pending);
    if (bits < 0xd800 || bits > 0xdfff) return this.#read(at, bits);
    return bits > 0xdbff ? REFUSED : this.#pair(at, { kind: 'pair', high: bits, bits: 0, left: 6 });
  }

  #pair(at: number, pending: Pending & { readonly kind: 'pair' }): number {
    const { high, bits, left } = pending;
    if (left > 0) return this.#waiting(at, pending);
    return bits < 0xdc00 || bits > 0xdfff ? REFUSED : this.#read(at, codePointOf(high, bits));
  }

  /** Inside of a character, where any that it may become can be read. */
  #waiting(at: number, pending: Pending): number {
    return windowsOf(pending).some(({ from, to }) => this.#characters.reaches(at, from, to))
      ? this.#number({ at, pending })
      : REFUSED;
  }

  #number(state: State): number {
    const { at, pending } = state;
    if (pending.kind === 'whole') return (this.#wholes[at] ??= this.#states.push(state) - 1);
    let key = `${at} ${pending.kind}`;
    if (pending.kind === 'utf8') key += ` ${pending.bits} ${pending.left} ${pending.least}`;
    else if (pending.kind === 'hex') key += ` ${pending.bits} ${pending.left}`;
    else if (pending.kind === 'pair') key += ` ${pending.high} ${pending.bits} ${pending.left}`;
    let number = this.#numbers.get(key);
    if (number === undefined) {
      number = this.#states.push(state) - 1;
      this.#numbers.set(key, number);
    }
    return number;
  }
}

const UNKNOWN = -3;

/** The code points that may be complete in the end. */
function windowsOf(pending: Pending): readonly Range[] {
  switch (pending.kind) {
    case 'whole':
    case 'escape':
      return [{ from: 0, to: 0x10ffff }];
    case 'utf8': {
      const { bits, left, least } = pending;
      const from = Math.max(bits << (6 * left), least);
      const to = ((bits + 1) << (6 * left)) - 1;
      return CODE_POINTS.map((range) => ({ from: Math.max(from, range.from), to: Math.min(to, range.to) })).filter(
        (range) => range.from <= range.to,
      );
    }
    case 'hex': {
      const from = pending.bits * 16 ** pending.left;
      const to = (pending.bits + 1) * 16 ** pending.left - 1;
      const low = Math.max(from, 0xd800);
      const high = Math.min(to, 0xdbff);
      const pairs = low <= high ? [{ from: codePointOf(low, 0xdc00), to: codePointOf(high, 0xdfff) }] : [];
      return [{ from, to }, ...pairs];
    }
    case 'pair': {
      const { high, bits, left } = pending;
      const digits = Math.min(left, 4);
      const low = Math.max(bits * 16 ** digits, 0xdc00);
      const last = Math.min((bits + 1) * 16 ** digits - 1, 0xdfff);
      return low > last ? [] : [{ from: codePointOf(high, low), to: codePointOf(high, last) }];
    }
    default:
      return pending satisfies never;
  }
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

function codePointOf(high: number, low: number): number {
  return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

/** The text of a JSON number: it ends where something else begins. */
export class NumberLexeme implements Lexeme {
  readonly id = nextId++;
  readonly start = 0;
  readonly #automaton: Automaton;

  constructor(automaton: Automaton) {
    this.#automaton = automaton;
  }

  next(state: number, byte: number): number {
    return step(this.#automaton, state, byte);
  }

  accepts(state: number): boolean {
    return this.#automaton.accepts[state] ?? false;
  }

  run(): null {
    return null;
  }

  canDiffer(): boolean {
    return true;
  }

  canRunOut(): boolean {
    return false;
  }

  parts(): null {
    return null;
  }

  follows(): null {
    return null;
  }
}
