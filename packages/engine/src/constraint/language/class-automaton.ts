/**
 * Automata that tell apart a few classes of characters, each of many ranges: they are made and made small class by class,
 * and only then written out range by range.
 */

import { type Automaton, type Budget, type Edge, NOTHING, type Range, numberedStates } from './automaton.ts';

/** Targets looked at before an automaton stays as it is. */
const MOST_REFINED = 2_000_000;
/** Edges that cost as much as a state. */
const EDGES_OF_A_STATE = 8;

/** States by number, 0 the start: where each class of characters leads, -1 for nowhere. */
interface ByClass {
  readonly accepts: readonly boolean[];
  readonly targets: readonly (readonly number[])[];
}

/**
 * The automaton whose states are values, found from `start` on, with as few states as finding them takes reasonably long.
 *
 * @param keyOf Tells equal states.
 * @param targetsOf Where each class leads, by its number.
 * @param pieces Every code point's class, in order.
 */
export function classAutomaton<State>(
  start: State,
  keyOf: (state: State) => string,
  targetsOf: (state: State) => readonly (State | null)[],
  accepts: (state: State) => boolean,
  pieces: readonly (Range & { readonly number: number })[],
  budget: Budget,
): Automaton {
  const { found, numberOf } = numberedStates(start, keyOf, budget);
  const targets: number[][] = [];
  // `found` grows meanwhile.
  for (const state of found) {
    const list = targetsOf(state);
    budget.spend(list.length / EDGES_OF_A_STATE);
    targets.push(list.map((target) => (target === null ? -1 : numberOf(target))));
  }
  const { accepts: ends, targets: leads } = minimalByClass(withoutDeadEnds({ accepts: found.map(accepts), targets }));
  if (ends[0] !== true && leads[0]?.some((target) => target >= 0) !== true) return NOTHING;
  return { accepts: ends, edges: leads.map((list) => edgesOf(list, pieces, budget)) };
}

/** States that lead nowhere are led to no more. */
function withoutDeadEnds({ accepts, targets }: ByClass): ByClass {
  const sources: number[][] = accepts.map(() => []);
  for (const [state, list] of targets.entries()) for (const target of new Set(list)) sources[target]?.push(state);
  const live = accepts.slice();
  const open = live.flatMap((accepting, state) => (accepting ? [state] : []));
  for (let state = open.pop(); state !== undefined; state = open.pop()) {
    for (const source of sources[state] ?? []) {
      if (live[source] === true) continue;
      live[source] = true;
      open.push(source);
    }
  }
  return { accepts, targets: targets.map((list) => list.map((target) => (live[target] === true ? target : -1))) };
}

function minimalByClass({ accepts, targets }: ByClass): ByClass {
  let parts: readonly number[] = accepts.map(Number);
  let count = new Set(parts).size;
  const size = targets.reduce((sum, list) => sum + list.length + 1, 0);
  for (let looked = size; looked < MOST_REFINED; looked += size) {
    const numbers = new Map<string, number>();
    const next = targets.map((list, state) => {
      const key = `${parts[state]} ${list.map((target) => parts[target] ?? -1).join()}`;
      const number = numbers.get(key) ?? numbers.size;
      numbers.set(key, number);
      return number;
    });
    if (numbers.size === count) return reachable({ accepts, targets }, next);
    parts = next;
    count = numbers.size;
  }
  // Parts that are not final yet would join states that differ.
  return reachable({ accepts, targets }, [...accepts.keys()]);
}

/** The states that the start leads to. @param parts Which states are one. */
function reachable({ accepts, targets }: ByClass, parts: readonly number[]): ByClass {
  const numbers = new Map([[parts[0] ?? 0, 0]]);
  const found = [0];
  const result: number[][] = [];
  const numberOf = (target: number): number => {
    if (target < 0) return -1;
    const part = parts[target] ?? target;
    const known = numbers.get(part);
    if (known !== undefined) return known;
    numbers.set(part, found.length);
    return found.push(target) - 1;
  };
  // `found` grows meanwhile.
  for (const state of found) result.push((targets[state] ?? []).map(numberOf));
  return { accepts: found.map((state) => accepts[state] ?? false), targets: result };
}

function edgesOf(
  targets: readonly number[],
  pieces: readonly (Range & { readonly number: number })[],
  budget: Budget,
): Edge[] {
  const edges: { from: number; to: number; target: number }[] = [];
  let last: { from: number; to: number; target: number } | undefined;
  for (const { from, to, number } of pieces) {
    const target = targets[number] ?? -1;
    if (target < 0) continue;
    if (last !== undefined && last.target === target && last.to + 1 === from) {
      last.to = to;
    } else {
      last = { from, to, target };
      edges.push(last);
    }
  }
  budget.spend(edges.length / EDGES_OF_A_STATE);
  return edges;
}
