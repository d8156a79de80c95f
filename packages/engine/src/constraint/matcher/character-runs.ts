/**
 * Stretches of an automaton's texts that may be any characters of one set: tokens made of them need no following.
 */

import { type Automaton, coversCodePoints } from '../language/automaton.ts';
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
    const set = labelOf(this.#automaton, state);
    if (set.reduce((sum, { from, to }) => sum + to - from + 1, 0) < FEWEST_CHARACTERS) return null;
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

/** The characters that may come at a state. */
function labelOf({ edges }: Automaton, state: number): CodePointSet {
  const list = edges[state] ?? [];
  if (coversCodePoints(list)) return ALL_CODE_POINTS;
  const label: { from: number; to: number }[] = [];
  for (const { from, to } of list) {
    const last = label.at(-1);
    if (last !== undefined && last.to + 1 === from) last.to = to;
    else label.push({ from, to });
  }
  return label;
}

function isSame(one: CodePointSet, other: CodePointSet): boolean {
  if (one === other) return true;
  return (
    one.length === other.length && one.every(({ from, to }, at) => from === other[at]?.from && to === other[at]?.to)
  );
}

/** How many characters of the set may follow in every state. */
function lengthsOf(automaton: Automaton, set: CodePointSet): readonly number[] {
  const { edges } = automaton;
  const lengths = edges.map((_, state) => (contains(labelOf(automaton, state), set) ? Infinity : 0));
  const sources: number[][] = lengths.map(() => []);
  for (const [state, list] of edges.entries()) {
    for (const target of new Set(list.map((edge) => edge.target))) sources[target]?.push(state);
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
