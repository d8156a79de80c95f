/**
 * Deterministic automata over Unicode code points: the sets of strings, and of the texts of numbers, that a JSON schema
 * speaks of. Surrogates are no characters: no automaton here reads one.
 */

/** Code points `from` to `to`, both included. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

export interface Edge extends Range {
  readonly target: number;
}

/**
 * States are numbered from 0, the start. Edges are in order and do not overlap; a code point without an edge is refused.
 * Every state but the start leads to an accepting one.
 */
export interface Automaton {
  readonly accepts: readonly boolean[];
  readonly edges: readonly (readonly Edge[])[];
}

/** Every code point but the surrogates. */
export const CODE_POINTS: readonly Range[] = [
  { from: 0, to: 0xd7ff },
  { from: 0xe000, to: 0x10ffff },
];

/** Counts what a schema takes to compile; `spend` throws where it is too much. */
export interface Budget {
  spend(states: number): void;
}

export const NOTHING: Automaton = { accepts: [false], edges: [[]] };
export const EVERYTHING: Automaton = {
  accepts: [true],
  edges: [CODE_POINTS.map((range) => ({ ...range, target: 0 }))],
};

/** Edges that cost as much as a state. */
const EDGES_OF_A_STATE = 8;

/** States that are values, numbered as they are met, `start` first: `found` grows by what `numberOf` has not met before. */
export function numberedStates<State>(
  start: State,
  keyOf: (state: State) => string,
  budget: Budget,
): { readonly found: readonly State[]; readonly numberOf: (state: State) => number } {
  const numbers = new Map<string, number>();
  const found: State[] = [];
  const numberOf = (state: State): number => {
    const key = keyOf(state);
    const known = numbers.get(key);
    if (known !== undefined) return known;
    budget.spend(1);
    numbers.set(key, found.length);
    found.push(state);
    return found.length - 1;
  };
  numberOf(start);
  return { found, numberOf };
}

/**
 * The automaton whose states are values, found from `start` on.
 *
 * @param keyOf Tells equal states.
 * @param edgesOf In order, not overlapping.
 */
export function explore<State>(
  start: State,
  keyOf: (state: State) => string,
  edgesOf: (state: State) => readonly (Range & { readonly target: State })[],
  accepts: (state: State) => boolean,
  budget: Budget,
): Automaton {
  const { found, numberOf } = numberedStates(start, keyOf, budget);
  const edges: Edge[][] = [];
  // `found` grows meanwhile.
  for (const state of found) {
    const list = edgesOf(state);
    budget.spend(list.length / EDGES_OF_A_STATE);
    // Many edges lead to one target: its key is made once.
    const targets = new Map<State, number>();
    const toNumber = ({ from, to, target }: Range & { readonly target: State }): Edge => {
      const number = targets.get(target) ?? numberOf(target);
      targets.set(target, number);
      return { from, to, target: number };
    };
    edges.push(joined(list.map(toNumber)));
  }
  return trimmed({ accepts: found.map(accepts), edges });
}

/** Neighbouring edges to the same state as one. */
function joined(edges: readonly Edge[]): Edge[] {
  const result: Edge[] = [];
  for (const edge of edges) {
    const last = result.at(-1);
    if (last !== undefined && last.target === edge.target && last.to + 1 === edge.from) {
      result[result.length - 1] = { ...last, to: edge.to };
    } else {
      result.push(edge);
    }
  }
  return result;
}

/** Without the states that lead nowhere. */
function trimmed(automaton: Automaton): Automaton {
  const { accepts, edges } = automaton;
  const sources: number[][] = accepts.map(() => []);
  edges.forEach((list, state) => {
    for (const { target } of list) sources[target]?.push(state);
  });
  const live = accepts.slice();
  const open = live.flatMap((accepting, state) => (accepting ? [state] : []));
  for (let state = open.pop(); state !== undefined; state = open.pop()) {
    for (const source of sources[state] ?? []) {
      if (live[source] === true) continue;
      live[source] = true;
      open.push(source);
    }
  }
  if (live[0] !== true) return NOTHING;
  if (live.every(Boolean)) return automaton;
  const numbers: number[] = [];
  let next = 0;
  for (const alive of live) numbers.push(alive ? next++ : -1);
  return {
    accepts: accepts.filter((_, state) => live[state]),
    edges: edges.flatMap((list, state) =>
      live[state] === true
        ? [
            list.flatMap(({ from, to, target }) => {
              const number = numbers[target] ?? -1;
              return number < 0 ? [] : [{ from, to, target: number }];
            }),
          ]
        : [],
    ),
  };
}

/** Edges looked at before an automaton stays as it is. */
const MOST_REFINED = 200_000;

/** With as few states as there can be, or unchanged where finding them takes long. */
export function minimal(automaton: Automaton): Automaton {
  const { accepts, edges } = automaton;
  let classes: number[] = accepts.map(Number);
  let count = new Set(classes).size;
  const size = edges.reduce((sum, list) => sum + list.length + 1, 0);
  for (let looked = size; looked < MOST_REFINED; looked += size) {
    const numbers = new Map<string, number>();
    const next = edges.map((list, state) => {
      const targets = joined(list.map((edge) => ({ ...edge, target: classes[edge.target] ?? -1 })));
      const key = `${classes[state]}|${targets.map(({ from, to, target }) => `${from}-${to}>${target}`).join()}`;
      const number = numbers.get(key) ?? numbers.size;
      numbers.set(key, number);
      return number;
    });
    if (numbers.size === count) {
      // The start is in the class of the first key.
      const representatives = Array.from({ length: count }, (_, number) => next.indexOf(number));
      return {
        accepts: representatives.map((state) => accepts[state] ?? false),
        edges: representatives.map((state) =>
          joined((edges[state] ?? []).map((edge) => ({ ...edge, target: next[edge.target] ?? -1 }))),
        ),
      };
    }
    classes = next;
    count = numbers.size;
  }
  return automaton;
}

/** The state after a code point; -1 where there is none. */
export function step(automaton: Automaton, state: number, codePoint: number): number {
  const edges = automaton.edges[state] ?? [];
  let low = 0;
  let high = edges.length - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const edge = edges[middle];
    if (edge === undefined) return -1;
    if (codePoint < edge.from) high = middle - 1;
    else if (codePoint > edge.to) low = middle + 1;
    else return edge.target;
  }
  return -1;
}

/** The state after a text from the start; -1 where it is left. */
function stateAfter(automaton: Automaton, text: string): number {
  let state = 0;
  for (const character of text) {
    state = step(automaton, state, character.codePointAt(0) ?? -1);
    if (state < 0) return -1;
  }
  return state;
}

export function matches(automaton: Automaton, text: string): boolean {
  return automaton.accepts[stateAfter(automaton, text)] ?? false;
}

type Operation = 'and' | 'or' | 'minus';

function combine(left: Automaton, right: Automaton, operation: Operation, budget: Budget): Automaton {
  type Both = readonly [left: number, right: number];
  const holds = (inLeft: boolean, inRight: boolean): boolean => {
    if (operation === 'and') return inLeft && inRight;
    return operation === 'or' ? inLeft || inRight : inLeft && !inRight;
  };
  const wanted = ([first, second]: Both): boolean => {
    if (operation === 'and') return first >= 0 && second >= 0;
    return operation === 'or' ? first >= 0 || second >= 0 : first >= 0;
  };
  const edgesOf = ([first, second]: Both): (Range & { target: Both })[] => {
    const result: (Range & { target: Both })[] = [];
    const a = left.edges[first] ?? [];
    const b = right.edges[second] ?? [];
    let i = 0;
    let j = 0;
    let at = 0;
    while (i < a.length || j < b.length) {
      const one = a[i];
      const other = b[j];
      const inOne = one !== undefined && one.from <= at;
      const inOther = other !== undefined && other.from <= at;
      const end = Math.min(
        one === undefined ? Infinity : inOne ? one.to : one.from - 1,
        other === undefined ? Infinity : inOther ? other.to : other.from - 1,
      );
      const target: Both = [inOne ? one.target : -1, inOther ? other.target : -1];
      if ((inOne || inOther) && wanted(target)) result.push({ from: at, to: end, target });
      at = end + 1;
      if (one !== undefined && one.to < at) i += 1;
      if (other !== undefined && other.to < at) j += 1;
    }
    return result;
  };
  return explore<Both>(
    [0, 0],
    ([first, second]) => `${first},${second}`,
    edgesOf,
    ([first, second]) => holds(left.accepts[first] ?? false, right.accepts[second] ?? false),
    budget,
  );
}

/** Whether it takes every string. */
function isEverything(automaton: Automaton): boolean {
  return (
    automaton === EVERYTHING ||
    (automaton.accepts.every(Boolean) && automaton.edges.every((edges) => coversCodePoints(edges)))
  );
}

export function isNothing(automaton: Automaton): boolean {
  return automaton.edges[0]?.length === 0 && automaton.accepts[0] === false;
}

export function coversCodePoints(edges: readonly Edge[]): boolean {
  let next = 0;
  for (const { from, to } of edges) {
    if (from > next) return false;
    next = to + 1 === 0xd800 ? 0xe000 : to + 1;
  }
  return next === 0x110000;
}

export function intersection(left: Automaton, right: Automaton, budget: Budget): Automaton {
  if (left === EVERYTHING || right === NOTHING || left === right) return right;
  if (right === EVERYTHING || left === NOTHING) return left;
  return combine(left, right, 'and', budget);
}

export function union(left: Automaton, right: Automaton, budget: Budget): Automaton {
  if (left === NOTHING || right === EVERYTHING || left === right) return right;
  if (right === NOTHING || left === EVERYTHING) return left;
  const both = combine(left, right, 'or', budget);
  return isEverything(both) ? EVERYTHING : both;
}

export function difference(left: Automaton, right: Automaton, budget: Budget): Automaton {
  if (left === right || left === NOTHING || right === EVERYTHING) return NOTHING;
  if (right === NOTHING) return left;
  return combine(left, right, 'minus', budget);
}

/** The strings that are listed. Lone surrogates cannot be written: a string with one is left out. */
export function literals(texts: readonly string[], budget: Budget): Automaton {
  const well = texts
    .filter((text) => text.isWellFormed())
    .map((text) => Array.from(text, (c) => c.codePointAt(0) ?? 0));
  interface Node {
    readonly id: number;
    end: boolean;
    readonly next: Map<number, Node>;
  }
  let count = 0;
  const create = (): Node => ({ id: count++, end: false, next: new Map() });
  const root = create();
  for (const text of well) {
    let node = root;
    for (const codePoint of text) {
      let next = node.next.get(codePoint);
      if (next === undefined) {
        next = create();
        node.next.set(codePoint, next);
      }
      node = next;
    }
    node.end = true;
  }
  return explore(
    root,
    ({ id }) => String(id),
    ({ next }) =>
      [...next].sort(([a], [b]) => a - b).map(([codePoint, target]) => ({ from: codePoint, to: codePoint, target })),
    ({ end }) => end,
    budget,
  );
}

/** Strings of `least` to `most` code points. */
export function ofLength(least: number, most: number, budget: Budget): Automaton {
  if (least === 0 && most === Infinity) return EVERYTHING;
  const last = most === Infinity ? least : most;
  return explore<number>(
    0,
    String,
    (length) => {
      if (length === most) return [];
      const target = Math.min(length + 1, last);
      return CODE_POINTS.map((range) => ({ ...range, target }));
    },
    (length) => length >= least,
    budget,
  );
}

/** How many strings every state leads to; Infinity for more than a billion, too. */
export function counts(automaton: Automaton): readonly number[] {
  const result: number[] = automaton.accepts.map(() => -1);
  const open = new Set<number>();
  // Post-order without recursion: strings may be thousands of characters long.
  const stack: number[] = [0];
  while (stack.length > 0) {
    const state = stack.at(-1) ?? 0;
    if ((result[state] ?? 0) >= 0) {
      stack.pop();
      continue;
    }
    if (!open.has(state)) {
      open.add(state);
      for (const { target } of automaton.edges[state] ?? []) {
        // A cycle: there are as many strings as one likes.
        if (open.has(target) && (result[target] ?? 0) < 0) result[target] = Infinity;
        else if ((result[target] ?? 0) < 0) stack.push(target);
      }
      continue;
    }
    let sum = automaton.accepts[state] === true ? 1 : 0;
    for (const { from, to, target } of automaton.edges[state] ?? []) sum += (to - from + 1) * (result[target] ?? 0);
    result[state] = sum > 1e9 ? Infinity : sum;
    stack.pop();
  }
  return result.map((count) => (count < 0 ? 0 : count));
}
