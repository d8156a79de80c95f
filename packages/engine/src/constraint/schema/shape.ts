/**
 * Sets of JSON values, by type: what a schema's keywords are turned into, and what is done with them where keywords
 * stand together. Children of arrays and objects are formulas, looked into only when they are reached.
 */

import {
  type Automaton,
  type Budget,
  difference,
  EVERYTHING,
  intersection,
  isNothing,
  literals,
  matches,
  NOTHING,
  union,
} from '../language/automaton.ts';
import type { NumberLanguage, NumberSet } from '../language/numbers.ts';
import { FALSE, type Formula, type Formulas, TRUE } from './formula.ts';
import type { SchemaRefusal } from './refusal.ts';

/** `min` to `max` of the items from position `from` on have to be `formula`. */
export interface Contained {
  readonly formula: Formula;
  readonly from: number;
  readonly min: number;
  readonly max: number;
}

export interface ArrayShape {
  readonly prefix: readonly Formula[];
  /** Every item behind the prefix. */
  readonly rest: Formula;
  readonly min: number;
  readonly max: number;
  readonly contained: readonly Contained[];
  /** Where the schema demands unique items; null where it does not. */
  readonly unique: SchemaRefusal | null;
}

export interface NamedProperty {
  readonly formula: Formula;
  readonly required: boolean;
}

/** The properties whose name is in `names` and is not among the object's named ones. */
export interface PropertyClass {
  readonly names: Automaton;
  readonly formula: Formula;
}

export interface ObjectShape {
  /** In the order in which they were declared. */
  readonly named: ReadonlyMap<string, NamedProperty>;
  /** Between them, they have every name. */
  readonly classes: readonly PropertyClass[];
  readonly min: number;
  readonly max: number;
  /** For each of them, there has to be a property, named or not, with such a name and such a value. */
  readonly needs: readonly PropertyClass[];
  /** Why there may be objects that are valid and are none of these; null where there are not. */
  readonly narrowed: SchemaRefusal | null;
}

export interface Shape {
  readonly null: boolean;
  readonly true: boolean;
  readonly false: boolean;
  readonly numbers: NumberSet;
  readonly strings: Automaton;
  /** Alternatives. */
  readonly arrays: readonly ArrayShape[];
  readonly objects: readonly ObjectShape[];
  /** Why strings may be missing that are valid, so that the complement cannot be told; null where all are there. */
  readonly narrowed: SchemaRefusal | null;
}

export const ANY_ARRAY: ArrayShape = { prefix: [], rest: TRUE, min: 0, max: Infinity, contained: [], unique: null };
export const ANY_OBJECT: ObjectShape = {
  named: new Map(),
  classes: [{ names: EVERYTHING, formula: TRUE }],
  min: 0,
  max: Infinity,
  needs: [],
  narrowed: null,
};

/** Alternatives that one shape may have. */
const MOST_ALTERNATIVES = 128;

/** What a property of an object may be. */
function propertyFormula({ named, classes }: ObjectShape, name: string): Formula {
  return named.get(name)?.formula ?? classes.find(({ names }) => matches(names, name))?.formula ?? FALSE;
}

/** What of a shape's narrowing is left beside another: nothing where that has no string at all. */
function narrowedBy(shape: Shape, other: Shape): SchemaRefusal | null {
  return other.narrowed === null && isNothing(other.strings) ? null : shape.narrowed;
}

export class Shapes {
  readonly numbers: NumberLanguage;
  readonly formulas: Formulas;
  readonly all: Shape;
  readonly none: Shape;
  readonly budget: Budget;
  readonly #isEmpty: (formula: Formula) => boolean;

  /** @param isEmpty Whether a formula is known to hold for no value. */
  constructor(numbers: NumberLanguage, formulas: Formulas, budget: Budget, isEmpty: (formula: Formula) => boolean) {
    this.numbers = numbers;
    this.formulas = formulas;
    this.budget = budget;
    this.#isEmpty = isEmpty;
    this.none = {
      null: false,
      true: false,
      false: false,
      numbers: numbers.none,
      strings: NOTHING,
      arrays: [],
      objects: [],
      narrowed: null,
    };
    this.all = {
      null: true,
      true: true,
      false: true,
      numbers: numbers.all,
      strings: EVERYTHING,
      arrays: [ANY_ARRAY],
      objects: [ANY_OBJECT],
      narrowed: null,
    };
  }

  /** Whether it is known to have no value, of those that it lacks neither. */
  isEmpty(shape: Shape): boolean {
    return (
      shape.narrowed === null &&
      !shape.null &&
      !shape.true &&
      !shape.false &&
      shape.arrays.length === 0 &&
      shape.objects.length === 0 &&
      isNothing(shape.strings) &&
      this.numbers.isEmpty(shape.numbers)
    );
  }

  intersection(left: Shape, right: Shape): Shape {
    if (left === this.all || left === right) return right;
    if (right === this.all) return left;
    return {
      null: left.null && right.null,
      true: left.true && right.true,
      false: left.false && right.false,
      numbers: this.numbers.intersection(left.numbers, right.numbers),
      strings: intersection(left.strings, right.strings, this.budget),
      arrays: this.#pairs(left.arrays, right.arrays, (a, b) => this.#bothArrays(a, b)),
      objects: this.#pairs(left.objects, right.objects, (a, b) => this.#bothObjects(a, b)),
      narrowed: narrowedBy(left, right) ?? narrowedBy(right, left),
    };
  }

  union(left: Shape, right: Shape): Shape {
    if (left === this.none || left === right || right === this.all) return right;
    if (right === this.none || left === this.all) return left;
    return {
      null: left.null || right.null,
      true: left.true || right.true,
      false: left.false || right.false,
      numbers: this.numbers.union(left.numbers, right.numbers),
      strings: union(left.strings, right.strings, this.budget),
      arrays: this.#limited([...new Set([...left.arrays, ...right.arrays])]),
      objects: this.#limited([...new Set([...left.objects, ...right.objects])]),
      narrowed: left.narrowed ?? right.narrowed,
    };
  }

  /** @throws SchemaRefusal for a shape that lacks valid values. */
  complement(shape: Shape): Shape {
    if (shape.narrowed !== null) throw shape.narrowed;
    if (shape === this.all) return this.none;
    if (shape === this.none) return this.all;
    const arrays = shape.arrays.map((array) => this.#notArray(array));
    const objects = shape.objects.map((object) => this.#notObject(object));
    return {
      null: !shape.null,
      true: !shape.true,
      false: !shape.false,
      numbers: this.numbers.complement(shape.numbers),
      strings: difference(EVERYTHING, shape.strings, this.budget),
      arrays: arrays.reduce<readonly ArrayShape[]>(
        (so, next) => this.#pairs(so, next, (a, b) => this.#bothArrays(a, b)),
        [ANY_ARRAY],
      ),
      objects: objects.reduce<readonly ObjectShape[]>(
        (so, next) => this.#pairs(so, next, (a, b) => this.#bothObjects(a, b)),
        [ANY_OBJECT],
      ),
      narrowed: null,
    };
  }

  /** A class of names apart, so that what is said of it is not said of the others. */
  classes(names: Automaton, within: Formula, without: Formula): PropertyClass[] {
    const others = difference(EVERYTHING, names, this.budget);
    return [
      ...(isNothing(names) ? [] : [{ names, formula: within }]),
      ...(isNothing(others) ? [] : [{ names: others, formula: without }]),
    ];
  }

  #limited<Alternative>(alternatives: readonly Alternative[]): readonly Alternative[] {
    this.budget.spend(alternatives.length);
    if (alternatives.length > MOST_ALTERNATIVES) this.budget.spend(Infinity);
    return alternatives;
  }

  #pairs<Alternative>(
    left: readonly Alternative[],
    right: readonly Alternative[],
    join: (a: Alternative, b: Alternative) => Alternative | null,
  ): readonly Alternative[] {
    const result: Alternative[] = [];
    for (const a of left) {
      for (const b of right) {
        const both = a === b ? a : join(a, b);
        if (both !== null && !result.includes(both)) result.push(both);
      }
    }
    return this.#limited(result);
  }

  #bothArrays(left: ArrayShape, right: ArrayShape): ArrayShape | null {
    if (left === ANY_ARRAY) return right;
    if (right === ANY_ARRAY) return left;
    const { formulas } = this;
    const length = Math.max(left.prefix.length, right.prefix.length);
    return this.array({
      prefix: Array.from({ length }, (_, at) =>
        formulas.and([left.prefix[at] ?? left.rest, right.prefix[at] ?? right.rest]),
      ),
      rest: formulas.and([left.rest, right.rest]),
      min: Math.max(left.min, right.min),
      max: Math.min(left.max, right.max),
      contained: [...left.contained, ...right.contained],
      unique: left.unique ?? right.unique,
    });
  }

  /** Null where there is no such array. */
  array(shape: ArrayShape): ArrayShape | null {
    const empty = shape.prefix.findIndex((formula) => this.#isEmpty(formula));
    let max = empty >= 0 ? Math.min(shape.max, empty) : shape.max;
    if (this.#isEmpty(shape.rest)) max = Math.min(max, shape.prefix.length);
    if (shape.min > max) return null;
    if (
      shape.contained.some(
        ({ formula, from, min, max: most }) => min > most || (min > 0 && (max < from + min || this.#isEmpty(formula))),
      )
    ) {
      return null;
    }
    return { ...shape, max, prefix: shape.prefix.slice(0, max), unique: max > 1 ? shape.unique : null };
  }

  #bothObjects(left: ObjectShape, right: ObjectShape): ObjectShape | null {
    if (left === ANY_OBJECT) return right;
    if (right === ANY_OBJECT) return left;
    const { formulas, budget } = this;
    const named = new Map<string, NamedProperty>();
    for (const name of [...left.named.keys(), ...right.named.keys()]) {
      if (named.has(name)) continue;
      named.set(name, {
        formula: formulas.and([propertyFormula(left, name), propertyFormula(right, name)]),
        required: (left.named.get(name)?.required ?? false) || (right.named.get(name)?.required ?? false),
      });
    }
    const classes = left.classes.flatMap((a) =>
      right.classes.flatMap((b) => {
        const names = intersection(a.names, b.names, budget);
        return isNothing(names) ? [] : [{ names, formula: formulas.and([a.formula, b.formula]) }];
      }),
    );
    return this.object({
      named,
      classes,
      min: Math.max(left.min, right.min),
      max: Math.min(left.max, right.max),
      needs: [...left.needs, ...right.needs],
      narrowed: left.narrowed ?? right.narrowed,
    });
  }

  /** Null where there is no such object. */
  object(shape: ObjectShape): ObjectShape | null {
    if (shape.narrowed !== null) return shape;
    let required = 0;
    for (const property of shape.named.values()) {
      if (!property.required) continue;
      required += 1;
      if (this.#isEmpty(property.formula)) return null;
    }
    if (Math.max(required, shape.min) > shape.max) return null;
    if (shape.needs.some(({ formula }) => this.#isEmpty(formula))) return null;
    return shape;
  }

  #notArray({ prefix, rest, min, max, contained, unique }: ArrayShape): ArrayShape[] {
    if (unique !== null) throw unique;
    const { formulas } = this;
    const result: (ArrayShape | null)[] = [];
    prefix.forEach((formula, at) => {
      if (formula === TRUE) return;
      const free = Array.from({ length: at }, () => TRUE);
      result.push(this.array({ ...ANY_ARRAY, prefix: [...free, formulas.not(formula)], min: at + 1 }));
    });
    if (rest !== TRUE && max > prefix.length) {
      const wrong = { formula: formulas.not(rest), from: prefix.length, min: 1, max: Infinity };
      result.push(this.array({ ...ANY_ARRAY, contained: [wrong] }));
    }
    if (min > 0) result.push(this.array({ ...ANY_ARRAY, max: min - 1 }));
    if (max < Infinity) result.push(this.array({ ...ANY_ARRAY, min: max + 1 }));
    for (const { formula, from, min: least, max: most } of contained) {
      if (least > 0) {
        const few = { formula, from, min: 0, max: least - 1 };
        result.push(this.array({ ...ANY_ARRAY, contained: [few] }));
      }
      if (most < Infinity) {
        const many = { formula, from, min: most + 1, max: Infinity };
        result.push(this.array({ ...ANY_ARRAY, contained: [many] }));
      }
    }
    return result.filter((array) => array !== null);
  }

  #notObject({ named, classes, min, max, needs, narrowed }: ObjectShape): ObjectShape[] {
    if (narrowed !== null) throw narrowed;
    const { formulas, budget } = this;
    const result: (ObjectShape | null)[] = [];
    const only = (name: string, formula: Formula, required: boolean): void => {
      result.push(this.object({ ...ANY_OBJECT, named: new Map([[name, { formula, required }]]) }));
    };
    for (const [name, { formula, required }] of named) {
      if (formula !== TRUE) only(name, formulas.not(formula), true);
      if (required) only(name, FALSE, false);
    }
    const names = literals([...named.keys()], budget);
    for (const { names: inClass, formula } of classes) {
      if (formula === TRUE) continue;
      const unnamed = difference(inClass, names, budget);
      if (isNothing(unnamed)) continue;
      result.push(this.object({ ...ANY_OBJECT, needs: [{ names: unnamed, formula: formulas.not(formula) }] }));
    }
    if (min > 0) result.push(this.object({ ...ANY_OBJECT, max: min - 1 }));
    if (max < Infinity) result.push(this.object({ ...ANY_OBJECT, min: max + 1 }));
    for (const need of needs) {
      result.push(this.object({ ...ANY_OBJECT, classes: this.classes(need.names, formulas.not(need.formula), TRUE) }));
    }
    return result.filter((object) => object !== null);
  }
}
