/**
 * Sets of JSON numbers.
 *
 * A set is an automaton over the texts of numbers in plain decimal notation with at most fifteen digits: those survive
 * a double, so that every reader sees the number that was written. A schema's own numbers that have no such text, such
 * as 1e300, are kept beside it. Every set has all texts of a number (1, 1.0, 1.00) or none.
 */

import {
  type Automaton,
  type Budget,
  difference,
  explore,
  intersection,
  isNothing,
  minimal,
  matches,
  NOTHING,
  type Range,
  union,
} from './automaton.ts';

export interface NumberSet {
  readonly texts: Automaton;
  /** Numbers that `texts` cannot have, in the texts of JSON.stringify. */
  readonly others: ReadonlySet<string>;
}

/** A decimal number. */
interface Decimal {
  readonly negative: boolean;
  /** Without leading zeros; '0' for nothing before the point. */
  readonly whole: string;
  /** Without trailing zeros. */
  readonly fraction: string;
}

export const MOST_DIGITS = 15;
/** The multiples of more than this many units are too many states. */
const MOST_REMAINDERS = 1000;
const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;

const each = <Target>(target: (digit: number) => Target): (Range & { target: Target })[] =>
  Array.from({ length: 10 }, (_, digit) => ({ from: ZERO + digit, to: ZERO + digit, target: target(digit) }));

/** A double in plain notation, from its shortest text. */
function decimalOf(value: number): Decimal {
  const [, sign = '', whole = '0', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(value)) ?? [];
  const shift = Number(exponent);
  const all = whole + fraction;
  const point = whole.length + shift;
  const padded = point <= 0 ? '0'.repeat(1 - point) + all : all.padEnd(point, '0');
  const place = Math.max(point, 1);
  return {
    negative: sign === '-',
    whole: padded.slice(0, place).replace(/^0+(?=\d)/, ''),
    fraction: padded.slice(place).replace(/0+$/, ''),
  };
}

/** A decimal's text. */
function textOf({ negative, whole, fraction }: Decimal): string {
  return `${negative ? '-' : ''}${whole}${fraction === '' ? '' : `.${fraction}`}`;
}

/** Where a text stands. */
type Phase = 'start' | 'minus' | 'zero' | 'whole' | 'point' | 'fraction';

interface Place {
  readonly phase: Phase;
  readonly negative: boolean;
}

/**
 * The texts of numbers that a property holds for.
 *
 * @param first The property's state before any digit.
 * @param whole, fraction Its state after a digit before and behind the point; null where nothing may follow.
 */
function numbersWith<State>(
  first: State,
  whole: (state: State, digit: number) => State | null,
  fraction: (state: State, digit: number) => State | null,
  holds: (state: State, negative: boolean) => boolean,
  keyOf: (state: State) => string,
  budget: Budget,
): Automaton {
  type At = Place & { readonly state: State };
  const edgesOf = ({ phase, negative, state }: At): (Range & { target: At })[] => {
    const result: (Range & { target: At })[] = [];
    if (phase === 'start') {
      result.push({ from: MINUS, to: MINUS, target: { phase: 'minus', negative: true, state } });
    } else if (phase === 'zero' || phase === 'whole') {
      result.push({ from: POINT, to: POINT, target: { phase: 'point', negative, state } });
    }
    if (phase === 'zero') return result;
    const behind = phase === 'point' || phase === 'fraction';
    const opens = phase === 'start' || phase === 'minus';
    for (const { from, to, target: digit } of each((digit) => digit)) {
      const next = (behind ? fraction : whole)(state, digit);
      if (next === null) continue;
      const after: Phase = behind ? 'fraction' : opens && digit === 0 ? 'zero' : 'whole';
      result.push({ from, to, target: { phase: after, negative, state: next } });
    }
    return result;
  };
  return explore<At>(
    { phase: 'start', negative: false, state: first },
    ({ phase, negative, state }) => `${phase} ${negative ? '-' : '+'} ${keyOf(state)}`,
    edgesOf,
    ({ phase, negative, state }) =>
      (phase === 'zero' || phase === 'whole' || phase === 'fraction') && holds(state, negative),
    budget,
  );
}

const free: Budget = { spend: () => undefined };

const counted = (state: number): number | null => (state < MOST_DIGITS ? state + 1 : null);
/** Every text that sets are made of. */
const UNIVERSE = minimal(numbersWith(0, counted, counted, () => true, String, free));
const WHOLE = numbersWith(
  0,
  counted,
  (state, digit) => (digit === 0 ? counted(state) : null),
  () => true,
  String,
  free,
);
/** One text a number: no zeros at the end behind the point, no negative zero. */
const CANONICAL = numbersWith<{ zero: boolean; last: number; behind: boolean }>(
  { zero: true, last: 1, behind: false },
  ({ zero }, digit) => ({ zero: zero && digit === 0, last: 1, behind: false }),
  ({ zero }, digit) => ({ zero: zero && digit === 0, last: digit, behind: true }),
  ({ zero, last }, negative) => last !== 0 && !(zero && negative),
  ({ zero, last, behind }) => `${zero} ${last === 0} ${behind}`,
  free,
);

/** How a number stands to a bound. */
export type Relation = 'less' | 'equal' | 'greater';

function related(bound: number, wanted: readonly Relation[], budget: Budget): Automaton {
  const decimal = decimalOf(bound);
  const { negative: below, whole, fraction } = decimal;
  /** Of the digits so far to the bound's; `read` up to one more than the bound has. */
  interface Compared {
    readonly order: Relation;
    readonly read: number;
    readonly behind: number;
  }
  const orderOf = (digit: number, other: string | undefined): Relation => {
    const against = Number(other ?? '0');
    return digit < against ? 'less' : digit > against ? 'greater' : 'equal';
  };
  const magnitude = ({ order, read, behind }: Compared): Relation => {
    if (read !== whole.length) return read < whole.length ? 'less' : 'greater';
    if (order !== 'equal') return order;
    return behind < fraction.length ? 'less' : 'equal';
  };
  const holds = (state: Compared, negative: boolean): boolean => {
    const order = magnitude(state);
    let relation: Relation;
    if (textOf(decimal) === '0') relation = order === 'equal' ? 'equal' : negative ? 'less' : 'greater';
    else if (negative !== below) relation = negative ? 'less' : 'greater';
    else if (order === 'equal' || !negative) relation = order;
    else relation = order === 'less' ? 'greater' : 'less';
    return wanted.includes(relation);
  };
  const texts = numbersWith<Compared>(
    { order: 'equal', read: 0, behind: 0 },
    ({ order, read }, digit) => ({
      order: order === 'equal' ? orderOf(digit, whole[read]) : order,
      read: Math.min(read + 1, whole.length + 1),
      behind: 0,
    }),
    (state, digit) => {
      // What comes before the point has decided already.
      if (state.read !== whole.length || state.order !== 'equal') return state;
      const order = orderOf(digit, fraction[state.behind]);
      return { order, read: state.read, behind: Math.min(state.behind + 1, fraction.length) };
    },
    holds,
    ({ order, read, behind }) => `${read} ${read > whole.length ? '' : order} ${behind}`,
    budget,
  );
  return minimal(intersection(minimal(texts), UNIVERSE, budget));
}

/** A step that its `multipleOf` has too many states for. */
export class StepTooFineError extends Error {
  override readonly name = 'StepTooFineError';
}

function multiples(factor: number, budget: Budget): Automaton {
  const { whole, fraction } = decimalOf(factor);
  const places = fraction.length;
  const units = BigInt(whole + fraction);
  if (units > BigInt(MOST_REMAINDERS) || places > MOST_DIGITS) throw new StepTooFineError(String(factor));
  const modulus = Number(units);
  interface Divided {
    readonly remainder: number;
    readonly behind: number;
  }
  const texts = numbersWith<Divided>(
    { remainder: 0, behind: 0 },
    ({ remainder }, digit) => ({ remainder: (remainder * 10 + digit) % modulus, behind: 0 }),
    ({ remainder, behind }, digit) => {
      if (behind === places) return digit === 0 ? { remainder, behind } : null;
      return { remainder: (remainder * 10 + digit) % modulus, behind: behind + 1 };
    },
    ({ remainder, behind }) => {
      let rest = remainder;
      for (let place = behind; place < places; place += 1) rest = (rest * 10) % modulus;
      return rest === 0;
    },
    ({ remainder, behind }) => `${remainder} ${behind}`,
    budget,
  );
  return minimal(intersection(minimal(texts), UNIVERSE, budget));
}

/** The number sets of one schema. */
export class NumberLanguage {
  readonly all: NumberSet;
  readonly integers: NumberSet;
  readonly none: NumberSet = { texts: NOTHING, others: new Set() };
  readonly #budget: Budget;
  readonly #others: ReadonlyMap<string, number>;

  /** @param mentioned Every number that the schema's enums and constants have. */
  constructor(mentioned: Iterable<number>, budget: Budget) {
    this.#budget = budget;
    const others = new Map<string, number>();
    for (const value of mentioned) {
      if (Number.isFinite(value) && !matches(UNIVERSE, textOf(decimalOf(value))))
        others.set(JSON.stringify(value), value);
    }
    this.#others = others;
    this.all = { texts: UNIVERSE, others: new Set(others.keys()) };
    this.integers = this.#where(WHOLE, Number.isInteger);
  }

  equalTo(value: number): NumberSet {
    return this.#where(related(value, ['equal'], this.#budget), (other) => other === value);
  }

  /** @param bound Inclusive unless `exclusive`. */
  atLeast(bound: number, exclusive: boolean): NumberSet {
    const texts = related(bound, exclusive ? ['greater'] : ['greater', 'equal'], this.#budget);
    return this.#where(texts, (other) => (exclusive ? other > bound : other >= bound));
  }

  /** @param bound Inclusive unless `exclusive`. */
  atMost(bound: number, exclusive: boolean): NumberSet {
    const texts = related(bound, exclusive ? ['less'] : ['less', 'equal'], this.#budget);
    return this.#where(texts, (other) => (exclusive ? other < bound : other <= bound));
  }

  /** @throws StepTooFineError */
  multiplesOf(factor: number): NumberSet {
    const exact = (other: number): boolean => {
      const { whole, fraction } = decimalOf(factor);
      const number = decimalOf(other);
      const places = Math.max(fraction.length, number.fraction.length);
      const scaled = ({ whole, fraction }: { whole: string; fraction: string }): bigint =>
        BigInt(whole + fraction.padEnd(places, '0'));
      return scaled(number) % scaled({ whole, fraction }) === 0n;
    };
    return this.#where(multiples(factor, this.#budget), exact);
  }

  intersection(left: NumberSet, right: NumberSet): NumberSet {
    if (left === this.all || right === this.none) return right;
    if (right === this.all || left === this.none) return left;
    return {
      texts: intersection(left.texts, right.texts, this.#budget),
      others: new Set([...left.others].filter((text) => right.others.has(text))),
    };
  }

  union(left: NumberSet, right: NumberSet): NumberSet {
    if (left === this.none || right === this.all) return right;
    if (right === this.none || left === this.all) return left;
    return {
      texts: union(left.texts, right.texts, this.#budget),
      others: new Set([...left.others, ...right.others]),
    };
  }

  complement(set: NumberSet): NumberSet {
    if (set === this.all) return this.none;
    if (set === this.none) return this.all;
    return {
      texts: difference(UNIVERSE, set.texts, this.#budget),
      others: new Set([...this.#others.keys()].filter((text) => !set.others.has(text))),
    };
  }

  isEmpty({ texts, others }: NumberSet): boolean {
    return others.size === 0 && isNothing(texts);
  }

  /** Whether it is every number, or every integer: those may be written in more ways. */
  breadth(set: NumberSet): 'all' | 'integers' | 'some' {
    const has = (wide: Automaton): boolean => isNothing(difference(wide, set.texts, this.#budget));
    if (set === this.all || has(UNIVERSE)) return set.others.size === this.all.others.size ? 'all' : 'some';
    const whole = set === this.integers || (isNothing(difference(set.texts, WHOLE, this.#budget)) && has(WHOLE));
    return whole && set.others.size === this.integers.others.size ? 'integers' : 'some';
  }

  /** One text for every number of the set that has a plain text. */
  canonical(set: NumberSet): Automaton {
    return intersection(set.texts, CANONICAL, this.#budget);
  }

  #where(texts: Automaton, holds: (value: number) => boolean): NumberSet {
    return { texts, others: new Set([...this.#others].flatMap(([text, value]) => (holds(value) ? [text] : []))) };
  }
}
