/**
 * How objects are written: named properties in the order in which they were declared, and any others between them.
 */

import {
  type Automaton,
  type Budget,
  counts,
  difference,
  intersection,
  isNothing,
  literals,
  matches,
} from '../language/automaton.ts';
import type { Formula, Formulas } from './formula.ts';
import type { NamedProperty, ObjectShape, PropertyClass } from './shape.ts';

/** Where formulas are made. */
interface FormulaLanguage {
  readonly formulas: Formulas;
  readonly budget: Budget;
}

export interface WrittenProperty {
  readonly name: string;
  readonly formula: Formula;
  readonly required: boolean;
}

export interface ExtraProperty {
  readonly names: Automaton;
  readonly formula: Formula;
  /** The need that it meets, as a bit; 0 for none. */
  readonly need: number;
}

/** One way to write an object. */
export interface ObjectForm {
  readonly named: readonly WrittenProperty[];
  readonly extras: readonly ExtraProperty[];
  readonly min: number;
  readonly max: number;
  /** The bits of all needs. */
  readonly needs: number;
  /** How many extra properties there may be. */
  readonly capacity: number;
}

/** How far an object has been written. */
export interface ObjectState {
  /** The first named property that may come. */
  readonly next: number;
  /** Properties so far, as far as that makes a difference. */
  readonly count: number;
  /** Extra ones among them, as far as that makes a difference. */
  readonly extras: number;
  readonly needs: number;
}

export const OBJECT_START: ObjectState = { next: 0, count: 0, extras: 0, needs: 0 };

/** Classes of so few names are written as named properties. */
const FEW_NAMES = 16;
/** Needs that are followed side by side. */
const MOST_NEEDS = 8;

interface Skeleton {
  readonly named: ReadonlyMap<string, NamedProperty>;
  readonly classes: readonly PropertyClass[];
  readonly needs: readonly PropertyClass[];
}

const skeletons = new WeakMap<ObjectShape, readonly Skeleton[]>();

/** The forms of an object that can be brought to an end, with what can be written of its values. */
export function objectForms(
  object: ObjectShape,
  language: FormulaLanguage,
  written: (formula: Formula) => boolean,
): ObjectForm[] {
  let known = skeletons.get(object);
  if (known === undefined) {
    known = skeletonsOf(object, language);
    skeletons.set(object, known);
  }
  return known.flatMap((skeleton) => {
    const form = formOf(skeleton, object, language, written);
    return form !== null && canFinish(form, OBJECT_START) ? [form] : [];
  });
}

function skeletonsOf(object: ObjectShape, language: FormulaLanguage): Skeleton[] {
  const { budget, formulas } = language;
  const named = new Map(object.named);
  const names = literals([...named.keys()], budget);
  const classes: PropertyClass[] = [];
  for (const one of object.classes) {
    const unnamed = difference(one.names, names, budget);
    if (isNothing(unnamed)) continue;
    if ((counts(unnamed)[0] ?? 0) > FEW_NAMES) classes.push({ names: unnamed, formula: one.formula });
    else for (const name of members(unnamed)) named.set(name, { formula: one.formula, required: false });
  }
  // A need is met by one of the named properties, or by one of the others.
  let open: Skeleton[] = [{ named, classes, needs: [] }];
  for (const need of object.needs) {
    open = open.flatMap((skeleton) => {
      const result: Skeleton[] = [{ ...skeleton, needs: [...skeleton.needs, need] }];
      for (const [name, { formula }] of skeleton.named) {
        if (!matches(need.names, name)) continue;
        const both = { formula: formulas.and([formula, need.formula]), required: true };
        result.push({ ...skeleton, named: new Map(skeleton.named).set(name, both) });
      }
      budget.spend(result.length);
      return result;
    });
  }
  return open;
}

function formOf(
  { named, classes, needs }: Skeleton,
  { min, max }: ObjectShape,
  language: FormulaLanguage,
  written: (formula: Formula) => boolean,
): ObjectForm | null {
  const { budget, formulas } = language;
  if (needs.length > MOST_NEEDS) return null;
  const properties: WrittenProperty[] = [];
  for (const [name, { formula, required }] of named) {
    const can = name.isWellFormed() && written(formula);
    if (required && !can) return null;
    if (can) properties.push({ name, formula, required });
  }
  const writable = classes.filter(({ formula }) => written(formula));
  const extras: ExtraProperty[] = writable.map((one) => ({ ...one, need: 0 }));
  const capacity = writable.reduce((sum, { names }) => sum + (counts(names)[0] ?? 0), 0);
  for (const [at, need] of needs.entries()) {
    const ways = writable.flatMap((one): ExtraProperty[] => {
      const formula = formulas.and([one.formula, need.formula]);
      const names = intersection(one.names, need.names, budget);
      // Where names can run out, the one that is needed could have been written otherwise.
      return written(formula) && counts(names)[0] === Infinity ? [{ names, formula, need: 1 << at }] : [];
    });
    if (ways.length === 0) return null;
    extras.push(...ways);
  }
  return { named: properties, extras, min, max, needs: (1 << needs.length) - 1, capacity };
}

/** Whether an object can be brought to an end from here. */
function canFinish({ named, min, max, needs, capacity }: ObjectForm, state: ObjectState): boolean {
  let required = 0;
  let left = 0;
  for (let at = state.next; at < named.length; at += 1) {
    left += 1;
    if (named[at]?.required === true) required += 1;
  }
  for (let open = needs & ~state.needs; open !== 0; open &= open - 1) required += 1;
  return state.count + required <= max && state.count + left + Math.max(0, capacity - state.extras) >= min;
}

/** Whether it may end here. */
export function mayClose({ named, min, needs }: ObjectForm, state: ObjectState): boolean {
  return (
    state.count >= min &&
    (needs & ~state.needs) === 0 &&
    !named.some(({ required }, at) => required && at >= state.next)
  );
}

function counted({ min, max }: ObjectForm, count: number): number {
  return Math.min(count + 1, max < Infinity ? max + 1 : min);
}

/** Named properties that may come next, with the state after each. */
export function nextNamed(
  form: ObjectForm,
  state: ObjectState,
): { readonly at: number; readonly after: ObjectState }[] {
  const result: { at: number; after: ObjectState }[] = [];
  for (let at = state.next; at < form.named.length; at += 1) {
    const after = { ...state, next: at + 1, count: counted(form, state.count) };
    if (canFinish(form, after)) result.push({ at, after });
    if (form.named[at]?.required === true) break;
  }
  return result;
}

/** Extra properties that may come next, with the state after each. */
export function nextExtras(
  form: ObjectForm,
  state: ObjectState,
): { readonly at: number; readonly after: ObjectState }[] {
  if (form.capacity <= state.extras) return [];
  return form.extras.flatMap(({ need }, at) => {
    const extras = form.capacity === Infinity ? 0 : state.extras + 1;
    const after = { ...state, count: counted(form, state.count), extras, needs: state.needs | need };
    return canFinish(form, after) ? [{ at, after }] : [];
  });
}

/** The strings of an automaton that has few. */
function members(automaton: Automaton): string[] {
  const result: string[] = [];
  const visit = (state: number, text: string): void => {
    if (automaton.accepts[state] === true) result.push(text);
    for (const { from, to, target } of automaton.edges[state] ?? []) {
      for (let codePoint = from; codePoint <= to; codePoint += 1) visit(target, text + String.fromCodePoint(codePoint));
    }
  };
  visit(0, '');
  return result;
}
