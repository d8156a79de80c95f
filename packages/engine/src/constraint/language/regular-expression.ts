/**
 * From an ECMAScript regular expression to the strings in which it is found.
 *
 * Everything that is regular is followed: classes, repetition, alternatives, anchors, word boundaries and lookahead.
 * The expression's states are followed as threads, each with the lookaheads that it still owes; all threads that are
 * possible after a text are one state of the automaton.
 */

import { type Automaton, type Budget, coversCodePoints, EVERYTHING, type Range, step } from './automaton.ts';
import { classAutomaton } from './class-automaton.ts';
import { ALL_CODE_POINTS, type CodePointSet, WORD } from './code-point-sets.ts';
import { type Condition, type Program, programOf, RegularExpressionError } from './expression-program.ts';

/** What stands before or after a place in the text. */
type Side = 'nothing' | 'word' | 'other';

/** A lookahead in progress: the states that it may be in. */
interface Debt {
  readonly negative: boolean;
  readonly states: readonly number[];
}

interface Thread {
  readonly state: number;
  readonly debts: readonly Debt[];
}

interface Threads {
  readonly before: Side;
  readonly threads: readonly Thread[];
}

const keyOfDebt = ({ negative, states }: Debt): string => `${negative ? '!' : '='}${states.join(',')}`;
const keyOfThread = ({ state, debts }: Thread): string => `${state}(${debts.map(keyOfDebt).join(';')})`;

class Follower {
  readonly #program: Program;
  readonly #budget: Budget;
  readonly #alphabet: Alphabet;

  constructor(program: Program, alphabet: Alphabet, budget: Budget) {
    this.#program = program;
    this.#budget = budget;
    this.#alphabet = alphabet;
  }

  /** Every thread that is possible at this place without reading; null for debts means that the thread has failed. */
  #spread(threads: readonly Thread[], before: Side, after: Side): Thread[] {
    const found = new Map<string, Thread>();
    const open = [...threads];
    for (let thread = open.pop(); thread !== undefined; thread = open.pop()) {
      const settled = this.#settle(thread, before, after);
      if (settled === null) continue;
      const key = keyOfThread(settled);
      if (found.has(key)) continue;
      this.#budget.spend(1);
      found.set(key, settled);
      for (const step of this.#program.at(settled.state)) {
        if (step.kind === 'read' || (step.kind === 'if' && !holds(step.condition, before, after))) continue;
        const debts =
          step.kind === 'look' ? [...settled.debts, { negative: step.negative, states: [step.target] }] : settled.debts;
        open.push({ state: step.next, debts });
      }
    }
    return [...found.values()];
  }

  /** Spreads a thread's lookaheads: what is met is owed no more. Null where one has failed. */
  #settle({ state, debts }: Thread, before: Side, after: Side): Thread | null {
    if (debts.length === 0) return { state, debts };
    const left = new Map<string, Debt>();
    for (const { negative, states } of debts) {
      // Lookaheads inside lookaheads would be debts of debts.
      const spread = new Set<number>();
      const open = [...states];
      for (let at = open.pop(); at !== undefined; at = open.pop()) {
        if (spread.has(at)) continue;
        spread.add(at);
        for (const step of this.#program.at(at)) {
          if (step.kind === 'look') throw new RegularExpressionError('a lookahead inside a lookahead');
          if (step.kind === 'free' || (step.kind === 'if' && holds(step.condition, before, after)))
            open.push(step.next);
        }
      }
      const met = [...spread].some((at) => this.#program.at(at).length === 0);
      if (met && negative) return null;
      if (met) continue;
      const reading = [...spread].filter((at) => this.#program.at(at).some(({ kind }) => kind === 'read'));
      if (reading.length === 0 && !negative) return null;
      if (reading.length === 0) continue;
      const debt = { negative, states: reading.sort((a, b) => a - b) };
      left.set(keyOfDebt(debt), debt);
    }
    return { state, debts: [...left].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, debt]) => debt) };
  }

  isEnd({ before, threads }: Threads): boolean {
    return this.#spread(threads, before, 'nothing').some(
      ({ state, debts }) => this.#program.at(state).length === 0 && debts.every(({ negative }) => negative),
    );
  }

  /** Where the threads go with each class of characters; null where every thread ends. */
  targets({ before, threads }: Threads): readonly (Threads | null)[] {
    const spread = new Map<Side, readonly Thread[]>();
    return this.#alphabet.classes.map(({ side, codePoint }) => {
      let possible = spread.get(side);
      if (possible === undefined) {
        possible = this.#spread(threads, before, side);
        spread.set(side, possible);
      }
      return this.#target(possible, side, codePoint);
    });
  }

  /** Null where every thread ends. */
  #target(threads: readonly Thread[], before: Side, codePoint: number): Threads | null {
    const next = new Map<string, Thread>();
    for (const thread of threads) {
      const debts = this.#read(thread.debts, codePoint);
      if (debts === null) continue;
      // The end of the match reads whatever follows.
      const isEnd = this.#program.at(thread.state).length === 0;
      for (const state of isEnd ? [thread.state] : this.#after(thread.state, codePoint)) {
        const moved = { state, debts };
        next.set(keyOfThread(moved), moved);
      }
    }
    if (next.size === 0) return null;
    const sorted = [...next].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, thread]) => thread);
    // Once a match without debts has ended, nothing can undo it.
    const over = sorted.find(({ state, debts }) => this.#program.at(state).length === 0 && debts.length === 0);
    return over === undefined ? { before, threads: sorted } : { before: 'other', threads: [over] };
  }

  /** Where a set of states goes with a character. */
  #after(state: number, codePoint: number): number[] {
    return this.#program
      .at(state)
      .flatMap((step) => (step.kind === 'read' && has(step.set, codePoint) ? [step.next] : []));
  }

  #read(debts: readonly Debt[], codePoint: number): Debt[] | null {
    const result: Debt[] = [];
    for (const { negative, states } of debts) {
      const next = [...new Set(states.flatMap((state) => this.#after(state, codePoint)))].sort((a, b) => a - b);
      if (next.length > 0) result.push({ negative, states: next });
      else if (!negative) return null;
    }
    return result;
  }
}

/** The characters that an expression, and the strings in which it is looked for, tell apart. */
interface Alphabet {
  readonly classes: readonly { readonly side: Side; readonly codePoint: number }[];
  /** In order; `number` is that of their class. */
  readonly pieces: readonly (Range & { readonly number: number })[];
}

function alphabetOf({ steps }: Program, within: Automaton): Alphabet {
  const sets = new Set<CodePointSet>();
  let bounded = false;
  for (const step of steps.flat()) {
    if (step.kind === 'read') sets.add(step.set);
    if (step.kind === 'if') bounded ||= step.condition === 'boundary' || step.condition === 'no-boundary';
  }
  if (bounded) sets.add(WORD);
  const cuts = new Set<number>();
  for (const { from, to } of within.edges.flat()) cuts.add(from).add(to + 1);
  const apart = [...cuts].sort((a, b) => a - b);
  // Strings of some length: no state of theirs tells characters apart.
  const isUniform = within.edges.every(
    (edges) =>
      edges.length === 0 || (coversCodePoints(edges) && edges.every(({ target }) => target === edges[0]?.target)),
  );
  for (const set of sets) for (const { from, to } of set) cuts.add(from).add(to + 1);
  const sorted = [...cuts].sort((a, b) => a - b);
  const numbers = new Map<string, number>();
  const classes: { side: Side; codePoint: number }[] = [];
  const pieces: (Range & { number: number })[] = [];
  let interval = 0;
  const add = (from: number, to: number): void => {
    while ((apart[interval] ?? Infinity) <= from) interval += 1;
    const key = `${[...sets].map((set) => Number(has(set, from))).join('')} ${isUniform ? 0 : interval}`;
    let number = numbers.get(key);
    if (number === undefined) {
      number = classes.push({ side: bounded && has(WORD, from) ? 'word' : 'other', codePoint: from }) - 1;
      numbers.set(key, number);
    }
    pieces.push({ from, to, number });
  };
  for (const { from, to } of ALL_CODE_POINTS) {
    let start = from;
    for (const cut of sorted) {
      if (cut <= start) continue;
      if (cut > to) break;
      add(start, cut - 1);
      start = cut;
    }
    add(start, to);
  }
  return { classes, pieces };
}

function has(set: CodePointSet, codePoint: number): boolean {
  let low = 0;
  let high = set.length - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const range = set[middle];
    if (range === undefined) return false;
    if (codePoint < range.from) high = middle - 1;
    else if (codePoint > range.to) low = middle + 1;
    else return true;
  }
  return false;
}

function holds(condition: Condition, before: Side, after: Side): boolean {
  if (condition === 'start') return before === 'nothing';
  if (condition === 'end') return after === 'nothing';
  return ((before === 'word') !== (after === 'word')) === (condition === 'boundary');
}

/**
 * The strings in which the expression is found, anywhere: a JSON Schema's `pattern`.
 *
 * @param source As between the slashes of a literal. Read with the flag `u`; where that refuses it, without.
 * @param within Of these strings only: an expression that would take many states alone may take few among them.
 * @throws RegularExpressionError for what is not regular or is no expression.
 */
export function stringsWith(source: string, budget: Budget, within = EVERYTHING): Automaton {
  const { program, start } = programOf(source, budget);
  const alphabet = alphabetOf(program, within);
  const follower = new Follower(program, alphabet, budget);
  return classAutomaton<Both>(
    { threads: { before: 'nothing', threads: [{ state: start, debts: [] }] }, at: 0 },
    ({ threads: { before, threads }, at }) => `${at} ${before} ${threads.map(keyOfThread).join(' ')}`,
    ({ threads, at }) =>
      follower.targets(threads).map((target, number) => {
        const next = step(within, at, alphabet.classes[number]?.codePoint ?? -1);
        return target === null || next < 0 ? null : { threads: target, at: next };
      }),
    ({ threads, at }) => within.accepts[at] === true && follower.isEnd(threads),
    alphabet.pieces,
    budget,
  );
}

/** The expression's threads and the state of the strings that it is looked for in. */
interface Both {
  readonly threads: Threads;
  readonly at: number;
}
