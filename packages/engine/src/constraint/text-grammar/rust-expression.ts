/**
 * Regular expressions in the syntax of Rust's regex, which Lark's (Python's) share for the most part, as ECMAScript's
 * with the flag `u`.
 *
 * `\d`, `\s` and `\w` are Unicode's there. Where only they are matched, ASCII's stand for them: fewer strings, which are
 * all right, and small automata. Where something else than they is matched, they are whole.
 *
 * @see https://docs.rs/regex/latest/regex/#syntax
 */

import { checkLength } from './expression-length.ts';
import { TextGrammarError } from './text-grammar-error.ts';

/** Those that ECMAScript's flag `u` lets stand after a backslash. */
const SYNTAX = /[\^$\\.*+?()[\]{}|/]/;

/** Groups inside one another, at most: what reads the expression calls itself for each. */
const MOST_DEPTH = 100;

const PROPERTY = /^\\p\{/i;

/** What else than its two cases stands for a letter where case does not count: the Kelvin sign and the long s. */
const OTHER_CASES: Readonly<Record<string, readonly string[]>> = { k: ['\u212a'], s: ['\u017f'] };

const CLASSES: Readonly<Record<string, { readonly ascii: string; readonly whole: string }>> = {
  d: { ascii: '0-9', whole: String.raw`\p{Nd}` },
  s: { ascii: String.raw`\t-\r `, whole: String.raw`\p{White_Space}` },
  w: { ascii: '0-9A-Za-z_', whole: String.raw`\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}` },
};

/** The expression of one text. */
export function literalExpression(text: string, anyCase = false): string {
  return Array.from(text, (character) => (anyCase ? caseless(character) : escapeLiteral(character))).join('');
}

/** One character of a text or, within a class, of a class. */
function escapeLiteral(character: string, inClass = false): string {
  return SYNTAX.test(character) || (inClass && character === '-') ? `\\${character}` : character;
}

function caseless(character: string): string {
  const cases = casesOf(character);
  return cases.length === 1 ? escapeLiteral(character) : `[${cases.join('')}]`;
}

/** A character in all its cases. */
function casesOf(character: string): string[] {
  const lower = character.toLowerCase();
  if (/^[a-z]$/.test(lower)) return [lower, lower.toUpperCase(), ...(OTHER_CASES[lower] ?? [])];
  if (lower !== character.toUpperCase()) {
    throw new TextGrammarError(`${JSON.stringify(character)} in any case, which is followed for ASCII only`);
  }
  return [character];
}

/**
 * The same expression for ECMAScript.
 *
 * @throws TextGrammarError for what is not followed
 */
export function ecmaExpression(source: string): string {
  return new Translation(source, '', false).whole();
}

/**
 * The same, of a terminal of Lark's, which neither looks around nor prefers the shorter of two texts.
 *
 * @param flags of `s`, `i` and `u`.
 * @throws TextGrammarError for what is not followed
 */
export function larkExpression(source: string, flags: string): string {
  const unknown = Array.from(flags).find((flag) => !'siu'.includes(flag));
  if (unknown !== undefined) throw new TextGrammarError(`the flag ${unknown} of /${source}/, which is not followed`);
  return new Translation(source, flags, true).whole();
}

class Translation {
  readonly #source: readonly string[];
  readonly #anyCase: boolean;
  readonly #any: string;
  /** Whether classes have to be whole everywhere: what a lookahead finds may be what must not be. */
  readonly #whole: boolean;
  readonly #isTerminal: boolean;
  #isRepeated = false;
  #at = 0;
  #depth = 0;

  constructor(source: string, flags: string, isTerminal: boolean) {
    this.#isTerminal = isTerminal;
    this.#source = Array.from(source);
    this.#anyCase = flags.includes('i');
    this.#any = flags.includes('s') ? '[^]' : String.raw`[^\n]`;
    this.#whole = source.includes('(?!');
  }

  whole(): string {
    let result = '';
    while (this.#at < this.#source.length) result = checkLength(result + this.#next());
    return result;
  }

  #take(): string {
    const character = this.#source[this.#at];
    if (character === undefined) throw new TextGrammarError(`/${this.#source.join('')}/, which ends too early`);
    this.#at += 1;
    return character;
  }

  /** Takes these characters where they are next. */
  #skip(text: string): boolean {
    if (!this.#startsWith(text)) return false;
    this.#at += text.length;
    return true;
  }

  #startsWith(text: string): boolean {
    return Array.from(text).every((character, index) => this.#source[this.#at + index] === character);
  }

  #next(): string {
    const character = this.#take();
    if (this.#isTerminal && this.#isRepeated && character === '?') {
      throw new TextGrammarError(`the lazy ? in /${this.#source.join('')}/, which is not followed`);
    }
    const result = this.#translated(character);
    this.#isRepeated = /^(?:[*+?]|\{\d+(?:,\d*)?\})$/.test(result);
    return result;
  }

  #translated(character: string): string {
    switch (character) {
      case '\\':
        return this.#escape();
      case '[':
        return this.#class();
      case '(':
        this.#depth += 1;
        if (this.#depth > MOST_DEPTH) throw new TextGrammarError(`more than ${MOST_DEPTH} groups inside one another`);
        return this.#group();
      case ')':
        this.#depth -= 1;
        return character;
      case '.':
        return this.#any;
      case '{':
        return this.#count();
      case '}':
      case ']':
        return `\\${character}`;
      case '^':
      case '$':
      case '*':
      case '+':
      case '?':
      case '|':
        return character;
      default:
        return literalExpression(character, this.#anyCase);
    }
  }

  #group(): string {
    if (!this.#skip('?')) return '(?:';
    if (this.#isTerminal && (this.#startsWith('=') || this.#startsWith('!'))) {
      throw new TextGrammarError('lookahead, which is not followed');
    }
    for (const kind of [':', '=', '!']) if (this.#skip(kind)) return `(?${kind}`;
    if (this.#startsWith('<=') || this.#startsWith('<!'))
      throw new TextGrammarError('lookbehind, which is not followed');
    if (!this.#skip('P<') && !this.#skip('<')) {
      throw new TextGrammarError(`the group (?${this.#source[this.#at] ?? ''}, which is not followed`);
    }
    while (this.#take() !== '>');
    return '(?:';
  }

  #count(): string {
    const rest = this.#source.slice(this.#at, this.#at + 24).join('');
    const [count] = /^\d{1,9}(?:,\d{0,9})?\}/.exec(rest) ?? [];
    if (count === undefined) return String.raw`\{`;
    this.#skip(count);
    return `{${count}`;
  }

  #escape(): string {
    const name = this.#take();
    const lower = name.toLowerCase();
    const known = CLASSES[lower];
    if (known !== undefined) {
      if (name !== lower) return `[^${known.whole}]`;
      return `[${this.#whole ? known.whole : known.ascii}]`;
    }
    if (name === 'A') return '^';
    if (name === 'z' || name === 'Z') return '$';
    if (lower === 'b') return `\\${name}`;
    const character = this.#escaped(name);
    return PROPERTY.test(character) ? character : literalExpression(character, this.#anyCase);
  }

  /** The character that an escape stands for; a property as ECMAScript writes it. */
  #escaped(name: string): string {
    const controls: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', f: '\f', v: '\v', a: '\u0007' };
    const control = controls[name];
    if (control !== undefined) return control;
    if (name === 'x' || name === 'u' || name === 'U') return this.#codePoint(name === 'x' ? 2 : name === 'u' ? 4 : 8);
    if (name === 'p' || name === 'P') return this.#property(name);
    if (/[\p{L}\p{N}]/u.test(name)) throw new TextGrammarError(`the escape \\${name}, which is not followed`);
    return name;
  }

  #codePoint(digits: number): string {
    let hex = '';
    if (this.#skip('{')) for (let next = this.#take(); next !== '}'; next = this.#take()) hex += next;
    else for (let count = 0; count < digits; count += 1) hex += this.#take();
    const value = /^[\da-f]{1,8}$/i.test(hex) ? Number.parseInt(hex, 16) : Infinity;
    if (value > 0x10ffff) throw new TextGrammarError(`the escape of ${JSON.stringify(hex)}, which is no character`);
    return String.fromCodePoint(value);
  }

  #property(name: string): string {
    if (this.#anyCase) throw new TextGrammarError(`\\${name} in any case, which is not followed`);
    if (!this.#skip('{')) return `\\${name}{${this.#take()}}`;
    let property = '';
    for (let next = this.#take(); next !== '}'; next = this.#take()) property += next;
    return `\\${name}{${property}}`;
  }

  #class(): string {
    const negated = this.#skip('^');
    let result = '';
    let isFirst = true;
    for (let next = this.#take(); next !== ']' || isFirst; next = this.#take()) {
      isFirst = false;
      result = checkLength(result + this.#member(next, negated || this.#whole));
    }
    return `[${negated ? '^' : ''}${result}]`;
  }

  #member(first: string, whole: boolean): string {
    if (first === '[' || ['&&', '--', '~~'].some((operator) => first + (this.#source[this.#at] ?? '') === operator)) {
      throw new TextGrammarError(`${JSON.stringify(first)} inside a class, which is not followed: escape it`);
    }
    if (first === '\\') {
      const name = this.#take();
      const known = CLASSES[name.toLowerCase()];
      if (known !== undefined) return this.#namedMember(name, known, whole);
      const character = name === 'b' ? '\b' : this.#escaped(name);
      if (PROPERTY.test(character)) return character;
      return this.#range(character);
    }
    return this.#range(first);
  }

  #namedMember(name: string, { ascii, whole }: { ascii: string; whole: string }, needsWhole: boolean): string {
    if (name === 'W') throw new TextGrammarError(String.raw`\W inside a class, which is not followed`);
    if (name === 'D' || name === 'S') return whole.replace(String.raw`\p`, String.raw`\P`);
    return needsWhole ? whole : ascii;
  }

  /** A character, or the range that it begins. */
  #range(from: string): string {
    const isRange = this.#source[this.#at] === '-' && (this.#source[this.#at + 1] ?? ']') !== ']';
    if (!isRange) return (this.#anyCase ? casesOf(from) : [from]).map((one) => escapeLiteral(one, true)).join('');
    this.#skip('-');
    const next = this.#take();
    const to = next === '\\' ? this.#escaped(this.#take()) : next;
    if (PROPERTY.test(to)) throw new TextGrammarError(`a range up to ${to}`);
    const range = `${escapeLiteral(from, true)}-${escapeLiteral(to, true)}`;
    return this.#anyCase ? range + otherCases(from, to) : range;
  }
}

/** The letters of a range in their other case. */
function otherCases(from: string, to: string): string {
  const code = (text: string): number => text.codePointAt(0) ?? 0;
  if (code(to) > 0x7f) throw new TextGrammarError('a range in any case, which is followed for ASCII only');
  let result = '';
  for (let at = code(from); at <= code(to); at += 1) {
    const character = String.fromCharCode(at);
    if (/[a-z]/i.test(character))
      result += casesOf(character)
        .filter((one) => one !== character)
        .join('');
  }
  return result;
}
