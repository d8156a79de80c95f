/**
 * Stretches of an automaton's texts that may be any characters of one set: tokens made of them need no following.
 */

import { type Automaton, coversCodePoints, type Edge, type Range } from '../language/automaton.ts';
import { ALL_CODE_POINTS, type CodePointSet } from '../language/code-point-sets.ts';

/** From some state on, so many characters of the set may follow one another, whichever they are. */
export interface CharacterRun {
  readonly set: CodePointSet;
  /** Up to Infinity. */
  readonly length: number;
}

/** Sets that are looked at in one automaton. */
const MOST_SETS = 8;
/** Of fewer characters than this, there are few tokens. */
const FEWEST_CHARACTERS = 20;

interface Known {
  readonly set: CodePointSet;
  /** By state. */
  readonly lengths: readonly number[];
}

export class CharacterRuns {
  readonly #automaton: Automaton;
  readonly #sets: Known[] = [];
  readonly #runs: (CharacterRun | null | undefined)[] = [];

  constructor(automaton: Automaton) {
    this.#automaton = automaton;
  }

  /** Null where there is no run that is worth a look. */
  run(state: number): CharacterRun | null {
    let run = this.#runs[state];
    if (run === undefined) {
      run = this.#find(state);
      this.#runs[state] = run;
    }
    return run;
  }

  #find(state: number): CharacterRun | null {
    const set = usualSet(this.#automaton.edges[state] ?? []);
    if (countOf(set) < FEWEST_CHARACTERS) return null;
    let known = this.#sets.find((one) => isSame(one.set, set));
    if (known === undefined) {
      if (this.#sets.length >= MOST_SETS) return null;
      known = { set, lengths: lengthsOf(this.#automaton, set) };
      this.#sets.push(known);
    }
    const length = known.lengths[state] ?? 0;
    return length === 0 ? null : { set: known.set, length };
  }
}

const countOf = (ranges: readonly Range[]): number => ranges.reduce((sum, { from, to }) => sum + to - from + 1, 0);

/** The characters that lead where most do: what ends a text is none of them. */
function usualSet(edges: readonly Edge[]): CodePointSet {
  const byTarget = new Map<number, Edge[]>();
  for (const edge of edges) {
    const list = byTarget.get(edge.target);
    if (list === undefined) byTarget.set(edge.target, [edge]);
    else list.push(edge);
  }
  const [usual = []] = [...byTarget.values()].sort((a, b) => countOf(b) - countOf(a));
  return coversCodePoints(usual) ? ALL_CODE_POINTS : joined(usual);
}

function joined(ranges: readonly Range[]): CodePointSet {
  const result: { from: number; to: number }[] = [];
  for (const { from, to } of ranges) {
    const last = result.at(-1);
    if (last !== undefined && last.to + 1 === from) last.to = to;
    else result.push({ from, to });
  }
  return result;
}

function isSame(one: CodePointSet, other: CodePointSet): boolean {
  if (one === other) return true;
  return (
    one.length === other.length && one.every(({ from, to }, at) => from === other[at]?.from && to === other[at]?.to)
  );
}

/** How many characters of the set may follow in every state. */
function lengthsOf({ edges }: Automaton, set: CodePointSet): readonly number[] {
  const lengths = edges.map((list) => (contains(joined(list), set) ? Infinity : 0));
  const sources: number[][] = lengths.map(() => []);
  for (const [state, list] of edges.entries()) {
    if (lengths[state] === 0) continue;
    const targets = new Set(list.filter((edge) => overlaps(set, edge)).map(({ target }) => target));
    for (const target of targets) sources[target]?.push(state);
  }
  let border = lengths.flatMap((length, state) => (length === 0 ? [state] : []));
  for (let distance = 1; border.length > 0; distance += 1) {
    const next: number[] = [];
    for (const state of border) {
      for (const source of sources[state] ?? []) {
        if (lengths[source] !== Infinity) continue;
        lengths[source] = distance;
        next.push(source);
      }
    }
    border = next;
  }
  return lengths;
}

function contains(whole: CodePointSet, part: CodePointSet): boolean {
  let at = 0;
  return part.every(({ from, to }) => {
    while ((whole[at]?.to ?? Infinity) < from) at += 1;
    const range = whole[at];
    return range !== undefined && range.from <= from && range.to >= to;
  });
}

function overlaps(set: CodePointSet, { from, to }: Range): boolean {
  let low = 0;
  let high = set.length;
  // The first range that ends behind `from`.
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((set[middle]?.to ?? Infinity) < from) low = middle + 1;
    else high = middle;
  }
  return (set[low]?.from ?? Infinity) <= to;
}
