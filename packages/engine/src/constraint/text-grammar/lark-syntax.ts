/**
 * Reads a grammar in Lark's language.
 *
 * @see https://lark-parser.readthedocs.io/en/stable/grammar.html
 */

import { COMMON_TERMINALS } from './lark-common.ts';
import { larkExpression, literalExpression } from './rust-expression.ts';
import { TextGrammarError } from './text-grammar-error.ts';

/** What stands on the right of a rule. */
export type Expansion =
  /** Texts of one terminal, as an expression. */
  | { readonly kind: 'expression'; readonly source: string }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'sequence' | 'choice'; readonly parts: readonly Expansion[] }
  | { readonly kind: 'repetition'; readonly part: Expansion; readonly count: string };

/** A grammar's rules and terminals by name, and what may stand between its terminals. */
export interface LarkGrammar {
  readonly definitions: ReadonlyMap<string, Expansion>;
  readonly ignored: readonly Expansion[];
}

/** Brackets inside one another, at most. */
const MOST_DEPTH = 64;
/** Copies that `~` may ask for. */
const MOST_COPIES = 10_000;

interface Token {
  readonly kind: 'string' | 'regexp' | 'name' | 'number' | 'statement' | 'operator' | 'line' | 'end';
  readonly text: string;
  readonly line: number;
}

const TOKENS = new RegExp(
  [
    String.raw`[ \t\f]+|(?://|#)[^\n]*|\\\r?\n`,
    String.raw`\r?\n`,
    String.raw`"(?:[^"\\\n]|\\[^\n])*"i?`,
    String.raw`/(?!/)(?:[^/\\\n]|\\[^\n])+/[a-z]*`,
    String.raw`%[a-z]+`,
    String.raw`[A-Za-z_][A-Za-z0-9_]*`,
    String.raw`[+-]?\d+`,
    String.raw`->|\.\.|[:|()[\]?!*+~.,{}]`,
  ].join('|'),
  'y',
);

/** By a token's beginning. The first that fits counts; spaces, comments and lines that go on are none. */
const KINDS: readonly (readonly [beginning: RegExp, kind: Token['kind'] | null])[] = [
  [/^(?:[ \t\f#\\]|\/\/)/, null],
  [/^\r?\n/, 'line'],
  [/^"/, 'string'],
  [/^\//, 'regexp'],
  [/^%/, 'statement'],
  [/^[A-Za-z_]/, 'name'],
  [/^[+-]?\d/, 'number'],
];

function kindOf(text: string): Token['kind'] | null {
  const known = KINDS.find(([beginning]) => beginning.test(text));
  return known === undefined ? 'operator' : known[1];
}

function tokensOf(source: string): Token[] {
  const tokens: Token[] = [];
  let line = 1;
  TOKENS.lastIndex = 0;
  for (let at = 0; at < source.length; at = TOKENS.lastIndex) {
    const match = TOKENS.exec(source);
    if (match === null)
      throw new TextGrammarError(`${JSON.stringify(source.slice(at, at + 20))} in line ${line}, which is no Lark`);
    const [text] = match;
    const kind = kindOf(text);
    if (kind !== null) tokens.push({ kind, text, line });
    if (text.endsWith('\n')) line += 1;
  }
  tokens.push({ kind: 'line', text: '', line }, { kind: 'end', text: 'the end', line });
  return tokens;
}

/** @throws TextGrammarError for what is no Lark, and for what of it is not followed */
export function readLark(source: string): LarkGrammar {
  return new Reader(tokensOf(source)).read();
}

class Reader {
  readonly #tokens: readonly Token[];
  readonly #definitions = new Map<string, Expansion>();
  readonly #ignored: Expansion[] = [];
  #at = 0;
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  read(): LarkGrammar {
    while (this.#peek().kind !== 'end') {
      if (this.#peek().kind === 'line') this.#at += 1;
      else if (this.#peek().kind === 'statement') this.#statement();
      else this.#definition();
    }
    return { definitions: this.#definitions, ignored: this.#ignored };
  }

  #peek(ahead = 0): Token {
    const token = this.#tokens[this.#at + ahead] ?? this.#tokens.at(-1);
    return token ?? { kind: 'end', text: 'the end', line: 0 };
  }

  #take(): Token {
    const token = this.#peek();
    this.#at += 1;
    return token;
  }

  /** Takes an operator where it is next. */
  #skip(operator: string): boolean {
    const isNext = this.#peek().kind === 'operator' && this.#peek().text === operator;
    if (isNext) this.#at += 1;
    return isNext;
  }

  #expect(operator: string): void {
    if (!this.#skip(operator)) throw this.#unexpected(`"${operator}"`);
  }

  #unexpected(wanted: string, { text, line } = this.#peek()): TextGrammarError {
    return new TextGrammarError(`${JSON.stringify(text)} in line ${line}, where ${wanted} is due`);
  }

  #name(): string {
    const token = this.#take();
    if (token.kind !== 'name') throw this.#unexpected('a name', token);
    return token.text;
  }

  #define(name: string, expansion: Expansion): void {
    if (this.#definitions.has(name)) throw new TextGrammarError(`two definitions of ${name}`);
    this.#definitions.set(name, expansion);
  }

  #definition(): void {
    // What becomes of the tree says nothing of the text.
    while (this.#skip('?') || this.#skip('!'));
    const name = this.#name();
    if (this.#peek().text === '{') throw new TextGrammarError(`the template ${name}, which is not followed`);
    if (this.#peek().text === '.') throw new TextGrammarError(`the priority of ${name}, which is not followed`);
    this.#expect(':');
    this.#define(name, this.#choice());
    this.#endLine();
  }

  #endLine(): void {
    const token = this.#take();
    if (token.kind !== 'line') throw this.#unexpected('the end of the line', token);
  }

  #statement(): void {
    const { text } = this.#take();
    if (text === '%ignore') {
      this.#ignored.push(this.#choice());
      this.#endLine();
    } else if (text === '%import') {
      this.#import();
      this.#endLine();
    } else {
      throw new TextGrammarError(`${text}, which is not followed`);
    }
  }

  #import(): void {
    const library = this.#name();
    if (library !== 'common') throw new TextGrammarError(`the import of ${library}, of which only "common" is known`);
    if (this.#skip('.')) {
      const name = this.#name();
      this.#importAs(name, this.#skip('->') ? this.#name() : name);
      return;
    }
    this.#expect('(');
    do {
      const name = this.#name();
      this.#importAs(name, name);
    } while (this.#skip(','));
    this.#expect(')');
  }

  #importAs(name: string, known: string): void {
    const source = COMMON_TERMINALS.get(name);
    if (source === undefined) throw new TextGrammarError(`the import of common.${name}, which is not known`);
    this.#define(known, { kind: 'expression', source });
  }

  #choice(): Expansion {
    if (this.#depth >= MOST_DEPTH) throw new TextGrammarError(`more than ${MOST_DEPTH} brackets inside one another`);
    this.#depth += 1;
    const isInside = this.#depth > 1;
    const parts = [this.#sequence(isInside)];
    while (this.#skipBar(isInside)) parts.push(this.#sequence(isInside));
    this.#depth -= 1;
    return { kind: 'choice', parts };
  }

  /** A bar, which may begin a line. */
  #skipBar(isInside: boolean): boolean {
    let lines = 0;
    while (this.#peek(lines).kind === 'line') lines += 1;
    const isBar = this.#peek(lines).kind === 'operator' && this.#peek(lines).text === '|';
    if (isBar || isInside) this.#at += lines;
    return this.#skip('|');
  }

  #sequence(isInside: boolean): Expansion {
    const parts: Expansion[] = [];
    for (;;) {
      if (isInside) this.#skipLines();
      const { kind, text } = this.#peek();
      const begins = kind === 'string' || kind === 'regexp' || kind === 'name' || text === '(' || text === '[';
      if (!begins) break;
      parts.push(this.#repeated(this.#atom()));
    }
    if (this.#skip('->')) this.#name();
    return { kind: 'sequence', parts };
  }

  #skipLines(): void {
    while (this.#peek().kind === 'line') this.#at += 1;
  }

  #atom(): Expansion {
    const token = this.#take();
    if (token.kind === 'string') return this.#string(token);
    if (token.kind === 'regexp') {
      const end = token.text.lastIndexOf('/');
      return { kind: 'expression', source: larkExpression(token.text.slice(1, end), token.text.slice(end + 1)) };
    }
    if (token.kind === 'name') {
      if (this.#peek().text === '{') throw new TextGrammarError(`the template ${token.text}, which is not followed`);
      return { kind: 'name', name: token.text };
    }
    const inner = this.#choice();
    this.#expect(token.text === '(' ? ')' : ']');
    return token.text === '(' ? inner : { kind: 'repetition', part: inner, count: '?' };
  }

  #string(token: Token): Expansion {
    const anyCase = token.text.endsWith('i');
    const text = textOf(token);
    if (!this.#skip('..')) return { kind: 'expression', source: literalExpression(text, anyCase) };
    const last = this.#take();
    if (last.kind !== 'string') throw this.#unexpected('a string', last);
    const ends = [text, textOf(last)];
    if (ends.some((end) => Array.from(end).length !== 1)) {
      throw new TextGrammarError(`the range ${token.text}..${last.text}, whose ends are not single characters`);
    }
    const [from, to] = ends.map((end) => `\\u{${end.codePointAt(0)?.toString(16)}}`);
    return { kind: 'expression', source: `[${from}-${to}]` };
  }

  #repeated(part: Expansion): Expansion {
    for (const count of ['?', '*', '+']) if (this.#skip(count)) return { kind: 'repetition', part, count };
    if (!this.#skip('~')) return part;
    const least = this.#number();
    const most = this.#skip('..') ? this.#number() : least;
    return { kind: 'repetition', part, count: `{${least},${most}}` };
  }

  #number(): number {
    const token = this.#take();
    const value = token.kind === 'number' ? Number(token.text) : -1;
    if (value < 0 || value > MOST_COPIES) throw this.#unexpected(`a number from 0 to ${MOST_COPIES}`, token);
    return value;
  }
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', f: '\f', v: '\v', b: '\b', a: '\u0007' };

/** The text of a string token, whose escapes are Python's. */
function textOf({ text, line }: Token): string {
  const inner = text.slice(1, text.lastIndexOf('"'));
  return inner.replaceAll(
    /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|(.))/gsu,
    (escape, x?: string, u?: string, long?: string, other?: string) => {
      const hex = x ?? u ?? long;
      if (hex !== undefined && Number.parseInt(hex, 16) <= 0x10ffff)
        return String.fromCodePoint(Number.parseInt(hex, 16));
      const known =
        other === undefined ? undefined : (ESCAPES[other] ?? (/[a-zA-Z0-9]/.test(other) ? undefined : other));
      if (known === undefined)
        throw new TextGrammarError(`the escape ${escape} in line ${line}, which is not followed`);
      return known;
    },
  );
}
