/**
 * What the texts of a string are, character by character.
 */

import { type Automaton, counts, type Range, step } from '../language/automaton.ts';
import { type CharacterRun, CharacterRuns } from './character-runs.ts';

/** A part of a state of nested texts: those of one frame, or the end of the whole. */
export interface StatePart {
  /** The same in a frame that stands alone: what is behind its end is not looked at. */
  readonly alone: number;
  /** The state behind the frame's end; null for the end of the whole. */
  readonly behind: number | null;
}

/** States are numbers, 0 the start. Every state but the start leads to a text's end. */
export interface Characters {
  /** The state after a code point; -1 where it is refused. */
  step(state: number, codePoint: number): number;
  /** Whether a text may end. */
  accepts(state: number): boolean;
  /** Whether any code point out of the range may come. */
  reaches(state: number, from: number, to: number): boolean;
  /** Which characters may follow one another, and how many. */
  run(state: number): CharacterRun | null;
  /**
   * Whether there are finitely many texts from here whose next character is out of the ranges.
   *
   * @param next Null where the text may also end.
   */
  canRunOut(state: number, next: readonly Range[] | null): boolean;
  /**
   * Whether there is a text from here, its next character out of the ranges, that is none of those taken.
   *
   * @param next Null where the text may also end.
   */
  canDiffer(state: number, next: readonly Range[] | null, taken: readonly string[]): boolean;
  /** For texts that are nested: what may come is what may come in a part, or behind its end. Null for others. */
  parts(state: number): readonly StatePart[] | null;
  /** For a frame that stands alone: the bytes of a JSON string that may come behind it; null where it does not end. */
  follows(state: number): Uint8Array | null;
}

/** The texts of an automaton. */
export class AutomatonCharacters implements Characters {
  readonly #automaton: Automaton;
  readonly #runs: CharacterRuns;
  readonly #counts: readonly number[];

  constructor(automaton: Automaton) {
    this.#automaton = automaton;
    this.#runs = new CharacterRuns(automaton);
    this.#counts = counts(automaton);
  }

  step(state: number, codePoint: number): number {
    return step(this.#automaton, state, codePoint);
  }

  accepts(state: number): boolean {
    return this.#automaton.accepts[state] ?? false;
  }

  reaches(state: number, from: number, to: number): boolean {
    return hasEdgeInto(this.#automaton, state, from, to);
  }

  run(state: number): CharacterRun | null {
    return this.#runs.run(state);
  }

  canRunOut(state: number, next: readonly Range[] | null): boolean {
    if (next === null) return (this.#counts[state] ?? 0) < Infinity;
    return !(this.#automaton.edges[state] ?? []).some(
      ({ from, to, target }) =>
        this.#counts[target] === Infinity && next.some((range) => from <= range.to && to >= range.from),
    );
  }

  canDiffer(state: number, next: readonly Range[] | null, taken: readonly string[]): boolean {
    if (next === null) return (this.#counts[state] ?? 0) > taken.length;
    let left = 0;
    for (const { from, to, target } of this.#automaton.edges[state] ?? []) {
      for (const range of next) {
        const width = Math.min(to, range.to) - Math.max(from, range.from) + 1;
        if (width > 0) left += width * (this.#counts[target] ?? 0);
      }
    }
    const isNext = (text: string): boolean => {
      const first = text.codePointAt(0);
      return first !== undefined && next.some(({ from, to }) => first >= from && first <= to);
    };
    return left > taken.filter(isNext).length;
  }

  parts(): null {
    return null;
  }

  follows(): null {
    return null;
  }
}

/** Whether a state has an edge for any code point from `from` to `to`. */
export function hasEdgeInto({ edges }: Automaton, state: number, from: number, to: number): boolean {
  const list = edges[state] ?? [];
  let low = 0;
  let high = list.length;
  // The first edge that ends behind `from`.
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((list[middle]?.to ?? Infinity) < from) low = middle + 1;
    else high = middle;
  }
  return (list[low]?.from ?? Infinity) <= to;
}
