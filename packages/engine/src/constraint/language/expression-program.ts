/**
 * Regular expressions as programs: states, and what may be done at each.
 */

import { reasonOf } from '../../contain.ts';
import { type AST, RegExpParser } from '@eslint-community/regexpp';
import type { Budget } from './automaton.ts';
import {
  ALL_CODE_POINTS,
  type CodePointSet,
  complementSet,
  DIGITS,
  LINE_ENDS,
  propertySet,
  SPACES,
  setOf,
  WORD,
} from './code-point-sets.ts';

/** Why an expression cannot be followed. */
export class RegularExpressionError extends Error {
  override readonly name = 'RegularExpressionError';
}

export type Condition = 'start' | 'end' | 'boundary' | 'no-boundary';

export type Step =
  | { readonly kind: 'read'; readonly set: CodePointSet; readonly next: number }
  | { readonly kind: 'free'; readonly next: number }
  | { readonly kind: 'if'; readonly condition: Condition; readonly next: number }
  | { readonly kind: 'look'; readonly negative: boolean; readonly target: number; readonly next: number };

/** The expression's steps; a state without steps is its end. */
export class Program {
  readonly steps: Step[][] = [];
  readonly #budget: Budget;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  state(...steps: Step[]): number {
    this.#budget.spend(1);
    return this.steps.push(steps) - 1;
  }

  at(state: number): Step[] {
    return this.steps[state] ?? [];
  }
}

const ANY_BUT_LINE_ENDS = complementSet(LINE_ENDS);
/** Copies of what is repeated. */
const MOST_COPIES = 20_000;

/** Punctuation that needs no escape: the flag `u` knows `\"` and `\@` as little as `\-` outside a class. */
const NEEDLESS_ESCAPE = /\\(\\|[^\p{L}\p{N}_^$.*+?()[\]{}|/])/gu;

function parse(source: string): AST.Pattern {
  const parser = new RegExpParser({ ecmaVersion: 2025 });
  const read = (text: string, unicode: boolean): AST.Pattern => parser.parsePattern(text, 0, text.length, { unicode });
  try {
    return read(source, true);
  } catch {
    // What is readable once its punctuation is spelt out is read by code points too.
  }
  try {
    return read(
      source.replace(NEEDLESS_ESCAPE, (escape, character: string) =>
        character === '\\' ? escape : `\\u{${character.codePointAt(0)?.toString(16)}}`,
      ),
      true,
    );
  } catch {
    // Escapes such as `\a` are known without the flag only.
  }
  if (/\p{Surrogate}|[\u{10000}-\u{10ffff}]/u.test(source)) {
    throw new RegularExpressionError('an escape that is not known beside characters past U+FFFF');
  }
  try {
    return read(source, false);
  } catch (error) {
    if (error instanceof RangeError) throw error;
    throw new RegularExpressionError(reasonOf(error));
  }
}

function classSet(element: AST.CharacterClassElement | AST.CharacterSet | AST.Character): CodePointSet {
  switch (element.type) {
    case 'Character':
      return setOf([{ from: element.value, to: element.value }]);
    case 'CharacterClassRange':
      return setOf([{ from: element.min.value, to: element.max.value }]);
    case 'CharacterSet': {
      if (element.kind === 'any') return ANY_BUT_LINE_ENDS;
      if (element.kind === 'property') {
        if (element.strings) throw new RegularExpressionError(`${element.raw}, a property of strings`);
        return propertySet(element.raw);
      }
      const set = element.kind === 'digit' ? DIGITS : element.kind === 'space' ? SPACES : WORD;
      return element.negate ? complementSet(set) : set;
    }
    default:
      throw new RegularExpressionError(`${element.raw}, a class of the flag v`);
  }
}

function classSetOf({ elements, negate }: AST.CharacterClass): CodePointSet {
  const set = setOf(elements.flatMap((part) => [...classSet(part)]));
  return negate ? complementSet(set) : set;
}

class Compiler {
  readonly program: Program;
  /** Equal sets are the same object. */
  readonly #sets = new Map<string, CodePointSet>();
  /** What is repeated is read once for every copy. */
  readonly #classes = new Map<AST.Element, CodePointSet>();

  constructor(budget: Budget) {
    this.program = new Program(budget);
  }

  /** @param next Where the match goes on. */
  alternatives(list: readonly AST.Alternative[], next: number): number {
    const starts = list.map(({ elements }) =>
      elements.reduceRight((after, element) => this.#element(element, after), next),
    );
    const [only] = starts;
    if (only !== undefined && starts.length === 1) return only;
    return this.program.state(...starts.map((start): Step => ({ kind: 'free', next: start })));
  }

  #element(element: AST.Element, next: number): number {
    const { program } = this;
    switch (element.type) {
      case 'Group':
        if (element.modifiers !== null) throw new RegularExpressionError(`modifiers in ${element.raw}`);
        return this.alternatives(element.alternatives, next);
      case 'CapturingGroup':
        return this.alternatives(element.alternatives, next);
      case 'Character':
      case 'CharacterSet':
      case 'CharacterClass':
        return program.state({ kind: 'read', set: this.#set(element), next });
      case 'Quantifier':
        return this.#repetition(element, next);
      case 'Assertion':
        return this.#assertion(element, next);
      default:
        throw new RegularExpressionError(`${element.raw}, which no automaton can follow`);
    }
  }

  #set(element: AST.Character | AST.CharacterSet | AST.CharacterClass): CodePointSet {
    let known = this.#classes.get(element);
    if (known === undefined) {
      const set = element.type === 'CharacterClass' ? classSetOf(element) : classSet(element);
      const key = set.map(({ from, to }) => `${from}-${to}`).join();
      known = this.#sets.get(key) ?? set;
      this.#sets.set(key, known);
      this.#classes.set(element, known);
    }
    return known;
  }

  #repetition({ min, max, element, raw }: AST.Quantifier, next: number): number {
    const { program } = this;
    const copies = max === Infinity ? min + 1 : max;
    if (copies > MOST_COPIES) throw new RegularExpressionError(`${raw}, which repeats too often`);
    let start = next;
    if (max === Infinity) {
      start = program.state({ kind: 'free', next });
      program.at(start).push({ kind: 'free', next: this.#element(element, start) });
    } else {
      for (let copy = min; copy < max; copy += 1) {
        const inner = this.#element(element, start);
        start = program.state({ kind: 'free', next: inner }, { kind: 'free', next });
      }
    }
    for (let copy = 0; copy < min; copy += 1) start = this.#element(element, start);
    return start;
  }

  #assertion(element: AST.Assertion, next: number): number {
    const { program } = this;
    if (element.kind === 'lookbehind') throw new RegularExpressionError(`lookbehind ${element.raw}`);
    if (element.kind === 'lookahead') {
      const target = this.alternatives(element.alternatives, program.state());
      return program.state({ kind: 'look', negative: element.negate, target, next });
    }
    const condition = element.kind === 'word' ? (element.negate ? 'no-boundary' : 'boundary') : element.kind;
    return program.state({ kind: 'if', condition, next });
  }
}

/** The program that finds an expression anywhere in a text, and where it starts. */
export function programOf(source: string, budget: Budget): { readonly program: Program; readonly start: number } {
  const compiler = new Compiler(budget);
  const { program } = compiler;
  let match: number;
  try {
    match = compiler.alternatives(parse(source).alternatives, program.state());
  } catch (error) {
    // Both call themselves for each group.
    if (!(error instanceof RangeError)) throw error;
    throw new RegularExpressionError('its groups stand too deep inside one another');
  }
  const start = program.state({ kind: 'free', next: match });
  program.at(start).push({ kind: 'read', set: ALL_CODE_POINTS, next: start });
  return { program, start };
}
