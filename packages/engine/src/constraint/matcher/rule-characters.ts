/**
 * Texts of rules that call one another, character by character.
 *
 * A rule in progress is a frame, and what it returns to: places in frames around it. All rules that begin at one character
 * share a frame for each rule, whoever calls them, so that rules may also begin with themselves. A call that is the last
 * of its rule returns to where that rule returns to, so that lists do not pile up. Frames of the same content are the same
 * object, and so are states: what is known of a state is known wherever a text comes to it again.
 */

import { step } from '../language/automaton.ts';
import type { RuleNetwork } from '../text-grammar/rule-network.ts';
import type { CharacterRun } from './character-runs.ts';
import { type Characters, hasEdgeInto, type StatePart } from './characters.ts';
import { behind, Closure, END, type Frame, Frames, type Return } from './rule-closure.ts';
import { RulePlaces } from './rule-places.ts';

interface State {
  /** Places at which a character may be read. */
  readonly threads: readonly Return<Frame>[];
  /** Whether the text may end. */
  readonly ends: boolean;
  /** For a frame that stands alone: the rule that may end here; -1 where none does. */
  readonly leaves: number;
}

export class RuleCharacters implements Characters {
  readonly #places: RulePlaces;
  readonly #frames = new Frames();
  readonly #states: State[] = [];
  readonly #numbers = new Map<string, number>();
  /** Stands around everything. */
  readonly #root: Frame;
  readonly #alone = new Map<number, Frame>();
  readonly #resumed = new Map<Frame, number>();

  constructor(rules: RuleNetwork) {
    this.#places = new RulePlaces(rules);
    this.#root = this.#frames.create(-1, 'root', new Map());
    const closure = new Closure(this.#places);
    closure.begin(0, { place: END, owner: this.#root });
    closure.ends ||= this.#places.isNullableRule(0);
    this.#numberOf(closure);
  }

  /** What has been found so far, in places of a grammar. */
  get size(): number {
    return this.#states.length + this.#frames.size;
  }

  step(state: number, codePoint: number): number {
    const found = this.#states[state];
    const closure = new Closure(this.#places);
    let moved = false;
    for (const { place, owner } of found?.threads ?? []) {
      const target = step(this.#places.characters, place, codePoint);
      if (target < 0) continue;
      moved = true;
      closure.add(target, owner);
    }
    return moved ? this.#numberOf(closure) : -1;
  }

  accepts(state: number): boolean {
    return this.#states[state]?.ends ?? false;
  }

  reaches(state: number, from: number, to: number): boolean {
    const threads = this.#states[state]?.threads ?? [];
    return threads.some(({ place }) => hasEdgeInto(this.#places.characters, place, from, to));
  }

  run(state: number): CharacterRun | null {
    let longest: CharacterRun | null = null;
    for (const { place } of this.#states[state]?.threads ?? []) {
      const run = this.#places.runs.run(place);
      if (run !== null && run.length > (longest?.length ?? 0)) longest = run;
    }
    return longest;
  }

  /** A text of rules is no key: nobody asks how many are left. */
  canRunOut(): boolean {
    return false;
  }

  canDiffer(): boolean {
    return true;
  }

  parts(state: number): readonly StatePart[] {
    const { threads, ends } = this.#states[state] ?? { threads: [], ends: false };
    const byFrame = new Map<Frame, number[]>();
    for (const { place, owner } of threads) byFrame.set(owner, [...(byFrame.get(owner) ?? []), place]);
    const parts: StatePart[] = Array.from(byFrame, ([frame, places]) => {
      const owner = this.#aloneFrame(frame.rule);
      return {
        alone: this.#number({ threads: places.map((place) => ({ place, owner })), ends: false, leaves: -1 }),
        behind: this.#stateBehind(frame),
      };
    });
    if (ends) parts.push({ alone: this.#number({ threads: [], ends, leaves: -1 }), behind: null });
    return parts;
  }

  follows(state: number): Uint8Array | null {
    return this.#places.follows[this.#states[state]?.leaves ?? -1] ?? null;
  }

  #stateBehind(frame: Frame): number {
    let state = this.#resumed.get(frame);
    if (state === undefined) {
      const closure = new Closure(this.#places);
      closure.leave(frame);
      state = this.#numberOf(closure);
      this.#resumed.set(frame, state);
    }
    return state;
  }

  #aloneFrame(rule: number): Frame {
    let frame = this.#alone.get(rule);
    if (frame === undefined) {
      frame = this.#frames.create(rule, `alone ${rule}`, new Map());
      frame.returns.push({ place: behind(rule), owner: this.#root });
      this.#alone.set(rule, frame);
    }
    return frame;
  }

  #numberOf(closure: Closure): number {
    return this.#number({ threads: closure.threads(this.#frames), ends: closure.ends, leaves: closure.leaves });
  }

  #number(state: State): number {
    const { threads, ends, leaves } = state;
    const key = `${ends} ${leaves} ${threads.map(({ place, owner }) => `${place},${owner.id}`).join(' ')}`;
    let number = this.#numbers.get(key);
    if (number === undefined) {
      number = this.#states.push(state) - 1;
      this.#numbers.set(key, number);
    }
    return number;
  }
}
