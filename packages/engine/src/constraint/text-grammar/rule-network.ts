/**
 * Lark's rules as automata that call one another: in each, a call is read like a character behind Unicode's last. What of a
 * rule is regular is an automaton's part; only rules that lead back to themselves, and what leads to them, are called.
 */

import { type Automaton, type Budget, type Edge, explore, minimal, type Range } from '../language/automaton.ts';
import { stringsWith } from '../language/regular-expression.ts';
import { RegularExpressionError } from '../language/expression-program.ts';
import { definitionOf, isTerminalName, LarkExpressions } from './lark-expression.ts';
import type { Expansion, LarkGrammar } from './lark-syntax.ts';
import { START, wholeOf } from './text-grammar.ts';
import { NoExpressionError, TextGrammarError } from './text-grammar-error.ts';

/** Calls are numbers behind the last character, none beside another: neighbours with one target become a range. */
const FIRST_CALL = 0x110001;

/** The rule that an edge calls; -1 where it reads a character. */
export function calledRule({ from }: Edge): number {
  return from < FIRST_CALL ? -1 : (from - FIRST_CALL) / 2;
}

/** By number; the text is one of the first rule's. Every rule, and every state of one, leads to an end. */
export type RuleNetwork = readonly Automaton[];

/** States before they are joined, and steps between them, that one grammar may take. */
const MOST_STATES = 200_000;

/** @throws TextGrammarError for what cannot be followed, and for rules that no text ends */
export function ruleNetwork(grammar: LarkGrammar): RuleNetwork {
  let left = MOST_STATES;
  const budget: Budget = {
    spend: (states) => {
      left -= states;
      if (left < 0) throw new TextGrammarError('rules that take too many states: simplify them');
    },
  };
  try {
    return productive(new Builder(grammar, budget).rules(), budget);
  } catch (error) {
    if (error instanceof RegularExpressionError) throw new TextGrammarError(error.message);
    throw error;
  }
}

/** States with their steps; the last one of a rule has none. */
class Builder {
  readonly #grammar: LarkGrammar;
  readonly #budget: Budget;
  readonly #expressions: LarkExpressions;
  /** The rules that are called, in the order of their numbers. */
  readonly #names: string[] = [START];
  readonly #automata = new Map<string, Automaton>();
  #steps: Edge[][] = [];
  #free: number[][] = [];

  constructor(grammar: LarkGrammar, budget: Budget) {
    this.#grammar = grammar;
    this.#budget = budget;
    this.#expressions = new LarkExpressions(grammar);
  }

  rules(): Automaton[] {
    const rules: Automaton[] = [];
    // The names grow meanwhile.
    for (const [number, name] of this.#names.entries()) {
      this.#steps = [];
      this.#free = [];
      const end = this.#state();
      const body = this.#expansion(definitionOf(this.#grammar, name), end);
      const { between } = this.#expressions;
      rules.push(this.#joined(number === 0 && between !== '' ? this.#expression(between, body) : body, end));
    }
    return rules;
  }

  #state(...free: number[]): number {
    this.#budget.spend(1);
    this.#steps.push([]);
    return this.#free.push(free) - 1;
  }

  /** @param next Where the text goes on. */
  #expansion(expansion: Expansion, next: number): number {
    const expression = this.#regular(expansion);
    if (expression !== null) return this.#expression(expression, next);
    switch (expansion.kind) {
      case 'name':
        return this.#call(expansion.name, next);
      case 'sequence':
        return this.#sequence(expansion.parts, next);
      case 'choice':
        return this.#state(...expansion.parts.map((part) => this.#expansion(part, next)));
      case 'repetition':
        return this.#repetition(expansion.part, expansion.count, next);
      default:
        throw new TextGrammarError('a terminal that comes to too many characters');
    }
  }

  #regular(expansion: Expansion): string | null {
    try {
      return this.#expressions.of(expansion);
    } catch (error) {
      if (error instanceof NoExpressionError) return null;
      throw error;
    }
  }

  /** Neighbours that are regular are one expression: fewer states. */
  #sequence(parts: readonly Expansion[], next: number): number {
    let start = next;
    for (let to = parts.length; to > 0; ) {
      const last = parts[to - 1];
      let from = to - 1;
      if (last !== undefined && this.#regular(last) !== null) {
        while (from > 0 && this.#regular({ kind: 'sequence', parts: parts.slice(from - 1, to) }) !== null) from -= 1;
      }
      const run = parts.slice(from, to);
      const [only] = run;
      start = this.#expansion(run.length === 1 && only !== undefined ? only : { kind: 'sequence', parts: run }, start);
      to = from;
    }
    return start;
  }

  #call(name: string, next: number): number {
    if (isTerminalName(name)) throw new TextGrammarError(`the terminal ${name}, which comes to too many characters`);
    let number = this.#names.indexOf(name);
    if (number < 0) number = this.#names.push(name) - 1;
    const state = this.#state();
    const call = FIRST_CALL + 2 * number;
    this.#steps[state]?.push({ from: call, to: call, target: next });
    return state;
  }

  #repetition(part: Expansion, count: string, next: number): number {
    const [least, most] = boundsOf(count);
    let start = next;
    if (most === Infinity) {
      start = this.#state(next);
      this.#free[start]?.push(this.#expansion(part, start));
    } else {
      for (let copy = least; copy < most; copy += 1) start = this.#state(this.#expansion(part, start), next);
    }
    for (let copy = 0; copy < least; copy += 1) start = this.#expansion(part, start);
    return start;
  }

  /** The texts of an expression, each as a whole. */
  #expression(source: string, next: number): number {
    if (looksAround(source)) {
      throw new TextGrammarError('an anchor or a word boundary beside rules that lead back to themselves');
    }
    let automaton = this.#automata.get(source);
    if (automaton === undefined) {
      automaton = stringsWith(wholeOf(source), this.#budget);
      this.#automata.set(source, automaton);
    }
    const { accepts, edges } = automaton;
    const states = accepts.map((accepting) => (accepting ? this.#state(next) : this.#state()));
    edges.forEach((list, at) => {
      const steps = list.map((edge) => ({ ...edge, target: states[edge.target] ?? 0 }));
      this.#budget.spend(steps.length / 8);
      this.#steps[states[at] ?? 0] = steps;
    });
    return states[0] ?? next;
  }

  /** The states that are possible at once as one. */
  #joined(start: number, end: number): Automaton {
    const spread = (states: readonly number[]): number[] => {
      const found = new Set(states);
      for (const state of found) for (const next of this.#free[state] ?? []) found.add(next);
      return [...found].sort((a, b) => a - b);
    };
    const found = explore<readonly number[]>(
      spread([start]),
      (states) => states.join(),
      (states) =>
        apart(states.flatMap((state) => this.#steps[state] ?? [])).map(({ targets, ...range }) => ({
          ...range,
          target: spread(targets),
        })),
      (states) => states.includes(end),
      this.#budget,
    );
    return minimal(found);
  }
}

/** Whether an expression asks for what stands before or behind its own text. */
function looksAround(source: string): boolean {
  const pieces = source.match(/\\[^]|\[(?:\\[^]|[^\]\\])*\]|[\^$]/g) ?? [];
  return pieces.some((piece) => ['^', '$', '\\b', '\\B'].includes(piece));
}

function boundsOf(count: string): readonly [least: number, most: number] {
  if (count === '?') return [0, 1];
  if (count === '*') return [0, Infinity];
  if (count === '+') return [1, Infinity];
  const [, least = '0', most = '0'] = /^\{(\d+),(\d+)\}$/.exec(count) ?? [];
  return [Number(least), Number(most)];
}

/** The ranges of edges that may overlap, in order and apart, with where each leads. */
function apart(edges: readonly Edge[]): (Range & { readonly targets: readonly number[] })[] {
  const sorted = edges.toSorted((a, b) => a.from - b.from);
  const cuts = [...new Set(sorted.flatMap(({ from, to }) => [from, to + 1]))].sort((a, b) => a - b);
  const result: (Range & { targets: readonly number[] })[] = [];
  let open: readonly Edge[] = [];
  let next = 0;
  for (const [index, from] of cuts.entries()) {
    const begun: Edge[] = [];
    for (let edge = sorted[next]; edge !== undefined && edge.from === from; edge = sorted[next]) {
      begun.push(edge);
      next += 1;
    }
    open = [...open.filter(({ to }) => to >= from), ...begun];
    const to = (cuts[index + 1] ?? from + 1) - 1;
    if (open.length > 0) result.push({ from, to, targets: open.map(({ target }) => target) });
  }
  return result;
}

/** Without the calls of rules that no text ends, and without rules that nobody calls. */
function productive(rules: readonly Automaton[], budget: Budget): RuleNetwork {
  const ends = rules.map(() => false);
  const isOpen = (edge: Edge): boolean => calledRule(edge) < 0 || ends[calledRule(edge)] === true;
  for (let changed = true; changed; ) {
    changed = false;
    for (const [number, { accepts, edges }] of rules.entries()) {
      if (ends[number] === true) continue;
      const found = new Set([0]);
      for (const state of found) for (const edge of edges[state] ?? []) if (isOpen(edge)) found.add(edge.target);
      if (![...found].some((state) => accepts[state] === true)) continue;
      ends[number] = true;
      changed = true;
    }
  }
  if (ends[0] !== true) throw new TextGrammarError(`${START}, whose texts never end`);
  return rules.map(({ accepts, edges }) =>
    explore<number>(
      0,
      String,
      (state) => (edges[state] ?? []).filter(isOpen),
      (state) => accepts[state] ?? false,
      budget,
    ),
  );
}
