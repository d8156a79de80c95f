/**
 * The values of one schema: what its formulas stand for, and whether there are any.
 */

import { type Budget, counts, isNothing } from '../language/automaton.ts';
import { NumberLanguage } from '../language/numbers.ts';
import { Assertions } from './assertions.ts';
import { FALSE, type Formula, Formulas, TRUE } from './formula.ts';
import { References } from './references.ts';
import { SchemaRefusal } from './refusal.ts';
import { SchemaReader } from './schema-reader.ts';
import { objectForms } from './object-form.ts';
import { type ArrayShape, type Shape, Shapes } from './shape.ts';

/** States of automata, alternatives and positions that one schema may take: some tenths of a second. */
const MOST_STATES = 200_000;
/** Formulas that one schema may lead to. */
const MOST_FORMULAS = 5000;
const SCALAR = { type: ['null', 'boolean', 'number', 'string'] };
/** Emptiness is looked for this deep. */
const MOST_DEPTH = 6;

class SchemaBudget implements Budget {
  #left = MOST_STATES;
  /** Where the schema is being read, for the message. */
  pointer = '';

  spend(states: number): void {
    this.#left -= states;
    if (this.#left < 0) throw new SchemaRefusal('schema', this.pointer, 'which takes too many states: simplify it');
  }

  /** For what is found out while an answer is written. */
  refill(): void {
    this.#left = MOST_STATES;
  }
}

export class SchemaLanguage {
  readonly root: Formula;
  readonly shapes: Shapes;
  readonly formulas = new Formulas();
  readonly budget = new SchemaBudget();
  readonly references: References;
  readonly #reader: SchemaReader;
  readonly #shapes = new Map<number, Shape>();
  readonly #productive = new Map<number, boolean>();
  readonly #scalar: Formula;
  #depth = 0;

  /**
   * @param schema The parsed schema.
   * @throws SchemaRefusal
   */
  constructor(schema: unknown) {
    const numbers = new NumberLanguage(numbersIn(schema), this.budget);
    this.references = new References(schema);
    this.shapes = new Shapes(numbers, this.formulas, this.budget, (formula) => this.#isEmpty(formula));
    this.#scalar = this.formulas.literal(this.references.node(SCALAR, '', ''));
    this.#reader = new SchemaReader(this.references, this.shapes, new Assertions(this.shapes, this.references));
    const { root } = this.references;
    this.root = typeof root === 'boolean' ? (root ? TRUE : FALSE) : this.formulas.literal(root);
    this.#readAll();
  }

  /** @throws SchemaRefusal for a keyword that cannot be enforced */
  shape(formula: Formula): Shape {
    let shape = this.#shapes.get(formula.id);
    if (shape === undefined) {
      shape = this.#read(formula);
      this.#shapes.set(formula.id, shape);
    }
    return shape;
  }

  /** Whether any value of the formula can be written. */
  isProductive(formula: Formula): boolean {
    if (formula === TRUE) return true;
    if (formula === FALSE) return false;
    const known = this.#productive.get(formula.id);
    if (known !== undefined) return known;
    // The least fixed point: what can be written with what can be written already.
    const found = new Map<number, Formula>([[formula.id, formula]]);
    for (const one of found.values()) {
      for (const child of this.children(this.shape(one))) {
        if (!this.#productive.has(child.id)) found.set(child.id, child);
      }
    }
    const written = (one: Formula): boolean => one === TRUE || (this.#productive.get(one.id) ?? false);
    for (let changed = true; changed; ) {
      changed = false;
      for (const one of found.values()) {
        if (written(one) || !this.#hasValue(this.shape(one), written)) continue;
        this.#productive.set(one.id, true);
        changed = true;
      }
    }
    for (const { id } of found.values()) if (!this.#productive.has(id)) this.#productive.set(id, false);
    return written(formula);
  }

  /** What may be inside the arrays and objects of a shape. */
  children(shape: Shape): Formula[] {
    const result = new Set<Formula>();
    for (const array of shape.arrays) {
      const last = array.prefix.length;
      const from = array.contained.map((contained) => contained.from);
      const positions = new Set([...array.prefix.keys(), last, ...from]);
      for (const at of positions) for (const { formula } of this.items(array, at)) result.add(formula);
    }
    for (const object of shape.objects) {
      for (const { formula } of object.named.values()) result.add(formula);
      for (const { formula } of object.classes) result.add(formula);
      for (const need of object.needs) {
        for (const { formula } of [...object.named.values(), ...object.classes]) {
          result.add(this.formulas.and([formula, need.formula]));
        }
      }
    }
    result.delete(TRUE);
    result.delete(FALSE);
    return [...result];
  }

  /** The ways to write the item at a position: which of the contained ones it is counted as. */
  items(array: ArrayShape, at: number): { readonly formula: Formula; readonly counted: readonly boolean[] }[] {
    const item = array.prefix[at] ?? array.rest;
    const base = array.unique === null ? item : this.formulas.and([item, this.#scalar]);
    let ways = [{ formula: base, counted: [] as readonly boolean[] }];
    for (const { formula, from, max } of array.contained) {
      ways = ways.flatMap(({ formula: so, counted }) => {
        if (at < from) return [{ formula: so, counted: [...counted, false] }];
        const not = max === Infinity ? so : this.formulas.and([so, this.formulas.not(formula)]);
        return [
          { formula: this.formulas.and([so, formula]), counted: [...counted, true] },
          { formula: not, counted: [...counted, false] },
        ];
      });
    }
    return ways.filter(({ formula }) => formula !== FALSE);
  }

  /** How many values a formula has at least; Infinity for any number. Exact where all of them are scalars. */
  cardinality(formula: Formula): number {
    const { numbers } = this.shapes;
    const shape = this.shape(formula);
    const texts = counts(numbers.canonical(shape.numbers))[0] ?? 0;
    const scalars = Number(shape.null) + Number(shape.true) + Number(shape.false) + shape.numbers.others.size;
    return scalars + texts + (counts(shape.strings)[0] ?? 0);
  }

  /** The formula for one value. */
  constant(value: unknown): Formula {
    return this.formulas.literal(this.references.constant(value, ''));
  }

  #read(formula: Formula): Shape {
    switch (formula.kind) {
      case 'true':
        return this.shapes.all;
      case 'false':
        return this.shapes.none;
      case 'literal': {
        this.budget.pointer = formula.node.pointer;
        const shape = this.#reader.shape(formula.node);
        return formula.positive ? shape : this.shapes.complement(shape);
      }
      case 'and':
        return formula.parts.reduce<Shape>(
          (so, part) => this.shapes.intersection(so, this.shape(part)),
          this.shapes.all,
        );
      case 'or':
        return formula.parts.reduce<Shape>((so, part) => this.shapes.union(so, this.shape(part)), this.shapes.none);
      default:
        return formula satisfies never;
    }
  }

  /** Reads whatever the root leads to, so that every refusal comes before anything is written. */
  #readAll(): void {
    const found = new Set([this.root]);
    for (const formula of found) {
      if (found.size > MOST_FORMULAS) this.budget.spend(Infinity);
      const shape = this.shape(formula);
      for (const array of shape.arrays) this.#checkUnique(array);
      for (const child of this.children(shape)) found.add(child);
    }
  }

  /**
   * Items that have to be different are scalars: those can be told apart while they are written. Refuses arrays whose
   * items could hardly be scalars.
   */
  #checkUnique(array: ArrayShape): void {
    if (array.unique === null) return;
    if (array.contained.length > 0) throw array.unique;
    for (let at = 0; at <= Math.min(array.prefix.length, array.max - 1); at += 1) {
      const shape = this.shape(array.prefix[at] ?? array.rest);
      const composite = shape.arrays.length > 0 || shape.objects.length > 0;
      const scalars = this.items(array, at).reduce((sum, { formula }) => sum + this.cardinality(formula), 0);
      if ((composite && scalars < Infinity) || (at < array.prefix.length && scalars <= at)) throw array.unique;
    }
  }

  #isEmpty(formula: Formula): boolean {
    if (formula === FALSE) return true;
    if (formula.kind !== 'and' || this.#depth >= MOST_DEPTH) return false;
    this.#depth += 1;
    try {
      return this.shapes.isEmpty(this.shape(formula));
    } catch (error) {
      // In a circle, or refused: that is told where the formula is really read.
      if (error instanceof SchemaRefusal) return false;
      throw error;
    } finally {
      this.#depth -= 1;
    }
  }

  #hasValue(shape: Shape, written: (formula: Formula) => boolean): boolean {
    if (shape.null || shape.true || shape.false || !isNothing(shape.strings)) return true;
    if (!this.shapes.numbers.isEmpty(shape.numbers)) return true;
    return (
      shape.arrays.some((array) =>
        this.canFill(
          array,
          0,
          array.contained.map(() => 0),
          written,
        ),
      ) || shape.objects.some((object) => objectForms(object, this, written).length > 0)
    );
  }

  /** Whether an array that has `length` items, so many of them counted, can be brought to an end. */
  canFill(
    array: ArrayShape,
    length: number,
    counted: readonly number[],
    written: (formula: Formula) => boolean,
  ): boolean {
    const { min, max, prefix, contained } = array;
    const enough = contained.every((one, at) => (counted[at] ?? 0) >= one.min);
    if (contained.some((one, at) => (counted[at] ?? 0) > one.max) || length > max) return false;
    if (length >= min && enough) return true;
    if (contained.length === 0) {
      if (array.unique !== null && !this.#canBeUnique(array, length)) return false;
      const last = Math.min(min, prefix.length);
      const writable = (at: number): boolean => this.items(array, at).some(({ formula }) => written(formula));
      for (let at = length; at < last; at += 1) if (!writable(at)) return false;
      return min <= prefix.length || writable(prefix.length);
    }
    const seen = new Set<string>();
    const open: { length: number; counted: readonly number[] }[] = [{ length, counted }];
    for (let state = open.pop(); state !== undefined; state = open.pop()) {
      if (state.length >= min && contained.every((one, at) => (state.counted[at] ?? 0) >= one.min)) return true;
      if (state.length >= max) continue;
      for (const way of this.items(array, state.length)) {
        if (!written(way.formula)) continue;
        const next = countItem(array, state.length, state.counted, way.counted);
        const key = `${next.length} ${next.counted.join()}`;
        if (next.counted.some((count, at) => count > (contained[at]?.max ?? 0)) || seen.has(key)) continue;
        this.budget.spend(1);
        seen.add(key);
        open.push(next);
      }
    }
    return false;
  }

  /** Whether the items up to the least length can always be different, whatever the earlier ones are. */
  #canBeUnique(array: ArrayShape, length: number): boolean {
    for (let at = length; at < Math.min(array.min, array.prefix.length + 1); at += 1) {
      const index = at === array.prefix.length ? array.min - 1 : at;
      if (this.items(array, at).every(({ formula }) => this.cardinality(formula) <= index)) return false;
    }
    return true;
  }
}

/** An array's length and counts after one more item; lengths that make no difference any more stay the same. */
export function countItem(
  array: ArrayShape,
  length: number,
  counted: readonly number[],
  item: readonly boolean[],
): { readonly length: number; readonly counted: readonly number[] } {
  const { prefix, min, max, contained } = array;
  const last = Math.max(prefix.length, min, max < Infinity ? max + 1 : 0, ...contained.map(({ from }) => from));
  return {
    length: Math.min(length + 1, last),
    counted: contained.map((one, at) => {
      const count = (counted[at] ?? 0) + (item[at] === true ? 1 : 0);
      return Math.min(count, one.max < Infinity ? one.max + 1 : one.min);
    }),
  };
}

function numbersIn(value: unknown): number[] {
  if (typeof value === 'number') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(numbersIn) : [];
}
