/**
 * From a subschema to the values that it lets through, with every keyword that stands in it.
 *
 * Where `unevaluatedProperties` or `unevaluatedItems` look at what other keywords have evaluated, a subschema is read as
 * cases: for each, the values and what of them has been evaluated.
 */

import { type Automaton, EVERYTHING, literals, NOTHING, union } from '../language/automaton.ts';
import type { Assertions } from './assertions.ts';
import { FALSE, type Formula, type SchemaNode, TRUE } from './formula.ts';
import { KeywordValues } from './keyword-values.ts';
import { isJsonObject, type References } from './references.ts';
import { SchemaRefusal } from './refusal.ts';
import { ANY_ARRAY, ANY_OBJECT, type Shape, type Shapes } from './shape.ts';

interface Evaluated {
  /** Names of properties. */
  readonly names: Automaton;
  /** How many items from the first. */
  readonly items: number;
  /** Items that are one of these, too. */
  readonly matching: readonly Formula[];
}

interface Case {
  readonly shape: Shape;
  readonly evaluated: Evaluated;
}

const UNEVALUATED: Evaluated = { names: NOTHING, items: 0, matching: [] };
/** Branches of one keyword that are told apart for what they evaluate. */
const MOST_BRANCHES = 6;

export class SchemaReader {
  readonly #references: References;
  readonly #shapes: Shapes;
  readonly #assertions: Assertions;
  readonly #known = new Map<number, Shape>();
  /** Subschemas in the reading: one that is reached again without a step into a value has no meaning. */
  readonly #open = new Set<string>();

  constructor(references: References, shapes: Shapes, assertions: Assertions) {
    this.#references = references;
    this.#shapes = shapes;
    this.#assertions = assertions;
  }

  /** @throws SchemaRefusal for a keyword that cannot be enforced */
  shape(node: SchemaNode): Shape {
    let shape = this.#known.get(node.id);
    if (shape === undefined) {
      const cases = this.#read(node, false);
      shape = cases.reduce((so, { shape: next }) => this.#shapes.union(so, next), this.#shapes.none);
      this.#known.set(node.id, shape);
    }
    return shape;
  }

  #read(node: SchemaNode, annotated: boolean): readonly Case[] {
    const key = `${node.id} ${annotated}`;
    if (this.#open.has(key)) throw new SchemaRefusal('$ref', node.pointer, 'which leads back to itself');
    this.#open.add(key);
    try {
      return this.#cases(new KeywordValues(node), annotated);
    } finally {
      this.#open.delete(key);
    }
  }

  #cases(values: KeywordValues, annotated: boolean): readonly Case[] {
    const { node } = values;
    if (values.has('$ref') && this.#references.isLegacy) return this.#reference(values, '$ref', annotated);
    const unevaluated = ['unevaluatedProperties', 'unevaluatedItems'].some((keyword) => values.has(keyword));
    const deep = annotated || unevaluated;
    let cases: readonly Case[] = [
      { shape: this.#assertions.shape(values), evaluated: deep ? this.#evaluated(values) : UNEVALUATED },
    ];
    const join = (more: readonly Case[]): void => {
      cases = this.#both(cases, more);
    };
    for (const keyword of ['$ref', '$dynamicRef', '$recursiveRef']) {
      if (values.has(keyword)) join(this.#reference(values, keyword, deep));
    }
    const children = (keyword: string): (SchemaNode | boolean)[] | undefined => {
      const list = values.list(keyword);
      if (list?.length === 0) throw values.refusal(keyword, 'which is empty');
      return list?.map((value, at) => this.#references.child(node, value, keyword, at));
    };
    for (const child of children('allOf') ?? []) join(this.#child(child, deep));
    const anyOf = children('anyOf');
    if (anyOf !== undefined) join(this.#anyOf(values, anyOf, deep));
    const oneOf = children('oneOf');
    if (oneOf !== undefined) join(this.#oneOf(oneOf, deep));
    if (values.has('not')) join([this.#not(this.#references.child(node, values.get('not'), 'not'))]);
    if (values.has('if')) join(this.#conditional(values, deep));
    for (const keyword of ['dependencies', 'dependentSchemas']) {
      for (const [name, value] of Object.entries(values.map(keyword) ?? {})) {
        if (Array.isArray(value) && keyword === 'dependencies') continue;
        join(this.#dependent(name, this.#references.child(node, value, keyword, name), deep));
      }
    }
    if (values.has('propertyNames')) join([this.#propertyNames(values)]);
    return unevaluated ? cases.map((one) => this.#restrict(values, one)) : cases;
  }

  #child(child: SchemaNode | boolean, annotated: boolean): readonly Case[] {
    if (typeof child === 'boolean') {
      return [{ shape: child ? this.#shapes.all : this.#shapes.none, evaluated: UNEVALUATED }];
    }
    if (annotated) return this.#read(child, true);
    return [{ shape: this.shape(child), evaluated: UNEVALUATED }];
  }

  #shapeOf(child: SchemaNode | boolean): Shape {
    if (typeof child === 'boolean') return child ? this.#shapes.all : this.#shapes.none;
    return this.shape(child);
  }

  #not(child: SchemaNode | boolean): Case {
    return { shape: this.#shapes.complement(this.#shapeOf(child)), evaluated: UNEVALUATED };
  }

  #both(left: readonly Case[], right: readonly Case[]): readonly Case[] {
    const { budget } = this.#shapes;
    return left.flatMap((a) =>
      right.flatMap((b) => {
        const shape = this.#shapes.intersection(a.shape, b.shape);
        if (this.#shapes.isEmpty(shape)) return [];
        if (a.evaluated === UNEVALUATED || b.evaluated === UNEVALUATED) {
          return [{ shape, evaluated: a.evaluated === UNEVALUATED ? b.evaluated : a.evaluated }];
        }
        const evaluated = {
          names: union(a.evaluated.names, b.evaluated.names, budget),
          items: Math.max(a.evaluated.items, b.evaluated.items),
          matching: [...a.evaluated.matching, ...b.evaluated.matching],
        };
        return [{ shape, evaluated }];
      }),
    );
  }

  #reference(values: KeywordValues, keyword: string, annotated: boolean): readonly Case[] {
    const reference = values.get(keyword);
    if (keyword === '$recursiveRef') throw values.refusal(keyword, 'which is not followed: give $ref instead');
    const target = this.#references.resolve(values.node, reference, keyword);
    if (keyword === '$dynamicRef' && typeof target !== 'boolean' && typeof reference === 'string') {
      const name = /#([^/]*)$/.exec(reference)?.[1];
      const dynamic = isJsonObject(target.schema) ? target.schema['$dynamicAnchor'] : undefined;
      if (name !== undefined && dynamic === name && this.#references.dynamicAnchors(name) > 1) {
        throw values.refusal(keyword, 'which has several targets');
      }
    }
    return this.#child(target, annotated);
  }

  #anyOf(values: KeywordValues, children: readonly (SchemaNode | boolean)[], annotated: boolean): readonly Case[] {
    const shapes = this.#shapes;
    const branches = children.map((child) => this.#child(child, annotated));
    const plain = branches.every((cases) => cases.every(({ evaluated }) => evaluated === UNEVALUATED));
    if (!annotated || plain) {
      const shape = branches.flat().reduce((so, next) => shapes.union(so, next.shape), shapes.none);
      return [{ shape, evaluated: UNEVALUATED }];
    }
    if (children.length > MOST_BRANCHES)
      throw values.refusal('anyOf', 'which has too many branches under unevaluated keywords');
    const all: Case = { shape: shapes.all, evaluated: UNEVALUATED };
    let open: { cases: readonly Case[]; some: boolean }[] = [{ cases: [all], some: false }];
    children.forEach((child, at) => {
      const held = branches[at] ?? [];
      const failed = this.#not(child);
      open = open
        .flatMap(({ cases, some }) => [
          { cases: this.#both(cases, held), some: true },
          { cases: this.#both(cases, [failed]), some },
        ])
        .filter(({ cases }) => cases.length > 0);
    });
    return open.flatMap(({ cases, some }) => (some ? cases : []));
  }

  #oneOf(children: readonly (SchemaNode | boolean)[], annotated: boolean): readonly Case[] {
    const shapes = this.#shapes;
    const parts = children.map((child) => this.#shapeOf(child));
    const apart = parts.every((one, at) =>
      parts.slice(at + 1).every((other) => shapes.isEmpty(shapes.intersection(one, other))),
    );
    const branches = children.map((child, at) => {
      const cases = this.#child(child, annotated);
      if (apart) return cases;
      const others = parts.flatMap((part, other) => (other === at ? [] : [shapes.complement(part)]));
      const shape = others.reduce((so, other) => shapes.intersection(so, other), shapes.all);
      return this.#both(cases, [{ shape, evaluated: UNEVALUATED }]);
    });
    if (annotated) return branches.flat();
    const shape = branches.flat().reduce((so, next) => shapes.union(so, next.shape), shapes.none);
    return [{ shape, evaluated: UNEVALUATED }];
  }

  #conditional(values: KeywordValues, annotated: boolean): readonly Case[] {
    const { node } = values;
    const branch = (keyword: string): SchemaNode | boolean =>
      values.has(keyword) ? this.#references.child(node, values.get(keyword), keyword) : true;
    const [condition, then, otherwise] = [branch('if'), branch('then'), branch('else')];
    const held = this.#child(condition, annotated);
    if (then === true && otherwise === true) {
      if (!annotated) return [{ shape: this.#shapes.all, evaluated: UNEVALUATED }];
      return [...held, this.#not(condition)];
    }
    const met = this.#both(held, this.#child(then, annotated));
    const unmet = this.#both([this.#not(condition)], this.#child(otherwise, annotated));
    return this.#alternatives([...met, ...unmet], annotated);
  }

  #dependent(name: string, child: SchemaNode | boolean, annotated: boolean): readonly Case[] {
    const having = (formula: Formula, required: boolean, others: Shape): Case => ({
      shape: { ...others, objects: [{ ...ANY_OBJECT, named: new Map([[name, { formula, required }]]) }] },
      evaluated: UNEVALUATED,
    });
    const present = this.#both([having(TRUE, true, this.#shapes.none)], this.#child(child, annotated));
    return this.#alternatives([having(FALSE, false, this.#shapes.all), ...present], annotated);
  }

  /** As one case where nobody asks what is evaluated. */
  #alternatives(cases: readonly Case[], annotated: boolean): readonly Case[] {
    if (annotated) return cases;
    const shape = cases.reduce((so, next) => this.#shapes.union(so, next.shape), this.#shapes.none);
    return [{ shape, evaluated: UNEVALUATED }];
  }

  #propertyNames(values: KeywordValues): Case {
    const shapes = this.#shapes;
    const { strings, narrowed } = this.#shapeOf(
      this.#references.child(values.node, values.get('propertyNames'), 'propertyNames'),
    );
    const classes = shapes.classes(strings, TRUE, FALSE);
    return { shape: { ...shapes.all, objects: [{ ...ANY_OBJECT, classes, narrowed }] }, evaluated: UNEVALUATED };
  }

  /** What a subschema's own keywords evaluate. */
  #evaluated(values: KeywordValues): Evaluated {
    const { budget } = this.#shapes;
    let names = literals(Object.keys(values.map('properties') ?? {}), budget);
    for (const source of Object.keys(values.map('patternProperties') ?? {})) {
      names = union(names, this.#assertions.pattern(values, 'patternProperties', source), budget);
    }
    if (values.has('additionalProperties')) names = EVERYTHING;
    const items = values.get('items');
    const all = values.has('items') && (!Array.isArray(items) || values.has('additionalItems'));
    const prefix = Array.isArray(items) ? items.length : (values.list('prefixItems')?.length ?? 0);
    const matching =
      values.has('contains') && this.#references.containsEvaluates
        ? [this.#assertions.formula(values, values.get('contains'), 'contains')]
        : [];
    if (names === NOTHING && !all && prefix === 0 && matching.length === 0) return UNEVALUATED;
    return { names, items: all ? Infinity : prefix, matching };
  }

  /** Holds what is not evaluated to the unevaluated keywords. */
  #restrict(values: KeywordValues, { shape, evaluated }: Case): Case {
    const shapes = this.#shapes;
    let restricted = shape;
    let { names, items } = evaluated;
    if (values.has('unevaluatedProperties')) {
      const formula = this.#assertions.formula(values, values.get('unevaluatedProperties'), 'unevaluatedProperties');
      const classes = shapes.classes(names, TRUE, formula);
      restricted = shapes.intersection(restricted, { ...shapes.all, objects: [{ ...ANY_OBJECT, classes }] });
      names = EVERYTHING;
    }
    if (values.has('unevaluatedItems')) {
      const formula = this.#assertions.formula(values, values.get('unevaluatedItems'), 'unevaluatedItems');
      if (items < Infinity) {
        const prefix = Array.from({ length: items }, () => TRUE);
        const rest = shapes.formulas.or([formula, ...evaluated.matching]);
        const array = shapes.array({ ...ANY_ARRAY, prefix, rest });
        restricted = shapes.intersection(restricted, { ...shapes.all, arrays: array === null ? [] : [array] });
      }
      items = Infinity;
    }
    return { shape: restricted, evaluated: { names, items, matching: evaluated.matching } };
  }
}
