/**
 * The values that a subschema's own keywords let through: everything but the keywords that join whole schemas.
 */

import {
  type Automaton,
  EVERYTHING,
  intersection,
  isNothing,
  difference,
  literals,
  matches,
  NOTHING,
  ofLength,
} from '../language/automaton.ts';
import { MOST_DIGITS, StepTooFineError } from '../language/numbers.ts';
import { RegularExpressionError } from '../language/expression-program.ts';
import { stringsWith } from '../language/regular-expression.ts';
import { formatPattern, UNKNOWN_STANDARD_FORMATS } from './formats.ts';
import { FALSE, type Formula, TRUE } from './formula.ts';
import type { KeywordValues } from './keyword-values.ts';
import { canonicalJson, isJsonObject, type References } from './references.ts';
import { pointerTo, type SchemaRefusal } from './refusal.ts';
import {
  ANY_ARRAY,
  ANY_OBJECT,
  type ArrayShape,
  type NamedProperty,
  type PropertyClass,
  type Shape,
  type Shapes,
} from './shape.ts';

/** The longest string that a length bound may speak of. */
const MOST_CHARACTERS = 20_000;
const ARRAY_KEYWORDS = ['additionalItems', 'contains', 'items', 'maxItems', 'minItems', 'prefixItems', 'uniqueItems'];
const OBJECT_KEYWORDS = [
  'additionalProperties',
  'dependencies',
  'dependentRequired',
  'maxProperties',
  'minProperties',
  'patternProperties',
  'properties',
  'required',
];

const formats = new Map<string, Automaton>();

export class Assertions {
  readonly #shapes: Shapes;
  readonly #references: References;
  readonly #patterns = new Map<string, Automaton>();

  constructor(shapes: Shapes, references: References) {
    this.#shapes = shapes;
    this.#references = references;
  }

  /** The shape of a subschema's own keywords. */
  shape(values: KeywordValues): Shape {
    const shapes = this.#shapes;
    const parts = [
      this.#types(values),
      this.#values(values),
      this.#numbers(values),
      this.#strings(values),
      this.#arrays(values),
      this.#objects(values),
    ];
    return parts.reduce<Shape>((so, part) => (part === null ? so : shapes.intersection(so, part)), shapes.all);
  }

  /** The formula of a keyword's schema. */
  formula(values: KeywordValues, value: unknown, ...path: readonly (string | number)[]): Formula {
    const child = this.#references.child(values.node, value, ...path);
    if (typeof child === 'boolean') return child ? TRUE : FALSE;
    return this.#shapes.formulas.literal(child);
  }

  /** The strings that a pattern is found in. */
  pattern(values: KeywordValues, keyword: string, source: string): Automaton {
    let strings = this.#patterns.get(source);
    if (strings === undefined) {
      strings = this.#followed(values, keyword, () => stringsWith(source, this.#shapes.budget));
      this.#patterns.set(source, strings);
    }
    return strings;
  }

  #followed(values: KeywordValues, keyword: string, follow: () => Automaton): Automaton {
    try {
      return follow();
    } catch (error) {
      if (!(error instanceof RegularExpressionError)) throw error;
      throw values.refusal(keyword, `whose expression cannot be followed: ${error.message}`);
    }
  }

  /** Formats are few: their automata are made once. */
  #format(values: KeywordValues, expression: string): Automaton {
    const known = formats.get(expression);
    if (known !== undefined) return known;
    const strings = this.pattern(values, 'format', expression);
    formats.set(expression, strings);
    return strings;
  }

  /** The shape of one value. */
  constant(value: unknown, pointer: string): Shape {
    const { none, numbers, budget, formulas } = this.#shapes;
    const child = (part: unknown): Formula => formulas.literal(this.#references.constant(part, pointer));
    if (value === null) return { ...none, null: true };
    if (value === true) return { ...none, true: true };
    if (value === false) return { ...none, false: true };
    if (typeof value === 'number') return { ...none, numbers: numbers.equalTo(value) };
    if (typeof value === 'string') return { ...none, strings: literals([value], budget) };
    if (Array.isArray(value)) {
      const { length } = value;
      return { ...none, arrays: [{ ...ANY_ARRAY, prefix: value.map(child), rest: FALSE, min: length, max: length }] };
    }
    const named = new Map(
      Object.entries(value as object).map(([name, part]): [string, NamedProperty] => [
        name,
        { formula: child(part), required: true },
      ]),
    );
    const classes = [{ names: EVERYTHING, formula: FALSE }];
    return { ...none, objects: [{ ...ANY_OBJECT, named, classes, min: named.size, max: named.size }] };
  }

  #types(values: KeywordValues): Shape | null {
    const types = values.types();
    if (types === undefined) return null;
    const { none, all, numbers } = this.#shapes;
    const has = (name: string): boolean => types.some((type) => type === name);
    return {
      ...none,
      null: has('null'),
      true: has('boolean'),
      false: has('boolean'),
      numbers: has('number') ? numbers.all : has('integer') ? numbers.integers : numbers.none,
      strings: has('string') ? EVERYTHING : NOTHING,
      arrays: has('array') ? all.arrays : [],
      objects: has('object') ? all.objects : [],
    };
  }

  #values(values: KeywordValues): Shape | null {
    const shapes = this.#shapes;
    let shape: Shape | null = null;
    const pointer = values.node.pointer;
    if (values.has('const')) shape = this.constant(values.get('const'), pointerTo(pointer, 'const'));
    const list = values.list('enum');
    if (list === undefined) return shape;
    const different = [...new Map(list.map((value) => [canonicalJson(value), value])).values()];
    const texts = different.filter((value) => typeof value === 'string');
    let choice: Shape = { ...shapes.none, strings: literals(texts, shapes.budget) };
    for (const value of different) {
      if (typeof value !== 'string') choice = shapes.union(choice, this.constant(value, pointerTo(pointer, 'enum')));
    }
    return shape === null ? choice : shapes.intersection(shape, choice);
  }

  #numbers(values: KeywordValues): Shape | null {
    const { all, numbers } = this.#shapes;
    let set = numbers.all;
    // Of draft-04 and OpenAPI 3.0, this says of the plain bound whether it is one of those that are left out.
    const flagged = (keyword: string): boolean => typeof values.get(keyword) === 'boolean';
    for (const [keyword, exclusive] of [
      ['minimum', values.get('exclusiveMinimum') === true],
      ['exclusiveMinimum', true],
      ['maximum', values.get('exclusiveMaximum') === true],
      ['exclusiveMaximum', true],
    ] as const) {
      const bound = flagged(keyword) ? undefined : values.number(keyword);
      if (bound === undefined) continue;
      if (exclusive && String(bound).replace(/e.*|\D/g, '').length > MOST_DIGITS) {
        throw values.refusal(keyword, `whose bound has more than ${MOST_DIGITS} digits`);
      }
      const limited = keyword.endsWith('inimum') ? numbers.atLeast(bound, exclusive) : numbers.atMost(bound, exclusive);
      set = numbers.intersection(set, limited);
    }
    const factor = values.number('multipleOf');
    if (factor !== undefined) {
      if (factor <= 0) throw values.refusal('multipleOf', 'which is not above 0');
      try {
        set = numbers.intersection(set, numbers.multiplesOf(factor));
      } catch (error) {
        if (!(error instanceof StepTooFineError)) throw error;
        throw values.refusal('multipleOf', 'whose step has too many digits to be followed');
      }
    }
    return set === numbers.all ? null : { ...all, numbers: set };
  }

  #strings(values: KeywordValues): Shape | null {
    const { all, budget } = this.#shapes;
    let strings = EVERYTHING;
    const least = values.count('minLength') ?? 0;
    const most = values.count('maxLength') ?? Infinity;
    for (const [keyword, bound] of [
      ['minLength', least],
      ['maxLength', most],
    ] as const) {
      if (bound > MOST_CHARACTERS && bound < Infinity) {
        throw values.refusal(keyword, `which is more than ${MOST_CHARACTERS}`);
      }
    }
    if (least > most) strings = NOTHING;
    else strings = ofLength(least, most, budget);
    let narrowed: SchemaRefusal | null = null;
    const format = values.string('format');
    const expression = format === undefined ? undefined : formatPattern(format);
    if (expression !== undefined) {
      strings = intersection(strings, this.#format(values, expression), budget);
      narrowed = values.refusal('format', 'whose opposite cannot be enforced');
    } else if (format !== undefined && UNKNOWN_STANDARD_FORMATS.has(format)) {
      throw values.refusal('format', `of which "${format}" is not known here`);
    }
    const source = values.string('pattern');
    if (source !== undefined) {
      // Libraries write a format's expression beside it, which may take too many states alone.
      strings =
        narrowed === null
          ? intersection(strings, this.pattern(values, 'pattern', source), budget)
          : this.#followed(values, 'pattern', () => stringsWith(source, budget, strings));
    }
    return strings === EVERYTHING ? null : { ...all, strings, narrowed };
  }

  #arrays(values: KeywordValues): Shape | null {
    if (!ARRAY_KEYWORDS.some((keyword) => values.has(keyword))) return null;
    const shape: { -readonly [Key in keyof ArrayShape]: ArrayShape[Key] } = { ...ANY_ARRAY };
    const items = values.get('items');
    const tuple = Array.isArray(items) ? 'items' : 'prefixItems';
    const prefix = values.list(tuple) ?? [];
    if (prefix.length > 0) shape.prefix = prefix.map((item, at) => this.formula(values, item, tuple, at));
    const rest = tuple === 'items' ? 'additionalItems' : 'items';
    if (values.has(rest)) shape.rest = this.formula(values, values.get(rest), rest);
    shape.min = values.count('minItems') ?? 0;
    shape.max = values.count('maxItems') ?? Infinity;
    const min = values.count('minContains') ?? 1;
    const max = values.count('maxContains') ?? Infinity;
    if (values.has('contains') && (min > 0 || max < Infinity)) {
      const formula = this.formula(values, values.get('contains'), 'contains');
      shape.contained = [{ formula, from: 0, min, max }];
    }
    if (values.boolean('uniqueItems') === true) {
      shape.unique = values.refusal('uniqueItems', 'which cannot be enforced for such items');
    }
    const array = this.#shapes.array(shape);
    return { ...this.#shapes.all, arrays: array === null ? [] : [array] };
  }

  #objects(values: KeywordValues): Shape | null {
    if (!OBJECT_KEYWORDS.some((keyword) => values.has(keyword))) return null;
    const shapes = this.#shapes;
    const properties = values.map('properties') ?? {};
    const patterns = Object.entries(values.map('patternProperties') ?? {}).map(([source, schema]) => ({
      names: this.pattern(values, 'patternProperties', source),
      formula: this.formula(values, schema, 'patternProperties', source),
    }));
    const additional = values.has('additionalProperties')
      ? this.formula(values, values.get('additionalProperties'), 'additionalProperties')
      : TRUE;
    const classes = this.#classes(patterns, additional);
    const formulaOf = (name: string): Formula => {
      const matching = patterns.filter(({ names }) => matches(names, name)).map(({ formula }) => formula);
      if (Object.hasOwn(properties, name)) matching.push(this.formula(values, properties[name], 'properties', name));
      else if (matching.length === 0) return additional;
      return shapes.formulas.and(matching);
    };
    const required = values.names('required') ?? [];
    const named = new Map<string, NamedProperty>();
    for (const name of [...Object.keys(properties), ...required]) {
      named.set(name, { formula: formulaOf(name), required: required.includes(name) });
    }
    const object = shapes.object({
      named,
      classes,
      min: values.count('minProperties') ?? 0,
      max: values.count('maxProperties') ?? Infinity,
      needs: [],
      narrowed: null,
    });
    let shape: Shape = { ...shapes.all, objects: object === null ? [] : [object] };
    for (const [name, needed] of [
      ...this.#nameLists(values, 'dependencies'),
      ...this.#nameLists(values, 'dependentRequired'),
    ]) {
      const absent = { ...ANY_OBJECT, named: new Map([[name, { formula: FALSE, required: false }]]) };
      const present = {
        ...ANY_OBJECT,
        named: new Map([name, ...needed].map((one) => [one, { formula: TRUE, required: true }])),
      };
      shape = shapes.intersection(shape, { ...shapes.all, objects: [present, absent] });
    }
    return shape;
  }

  /** The parts of a map that are lists of names. */
  #nameLists(values: KeywordValues, keyword: string): (readonly [name: string, needed: readonly string[]])[] {
    const result: (readonly [string, readonly string[]])[] = [];
    for (const [name, list] of Object.entries(values.map(keyword) ?? {})) {
      if (!Array.isArray(list)) {
        if (keyword === 'dependencies' && (typeof list === 'boolean' || isJsonObject(list))) continue;
        throw values.refusal(keyword, 'which is no map of lists of strings');
      }
      if (!list.every((one) => typeof one === 'string'))
        throw values.refusal(keyword, 'which is no map of lists of strings');
      result.push([name, list]);
    }
    return result;
  }

  /** Names by the patterns that they match; those that match none are additional. */
  #classes(patterns: readonly PropertyClass[], additional: Formula): readonly PropertyClass[] {
    const { budget, formulas } = this.#shapes;
    if (patterns.length === 0)
      return additional === TRUE ? ANY_OBJECT.classes : [{ names: EVERYTHING, formula: additional }];
    let parts: { names: Automaton; matched: Formula[] }[] = [{ names: EVERYTHING, matched: [] }];
    for (const { names, formula } of patterns) {
      parts = parts.flatMap((part) => {
        const within = intersection(part.names, names, budget);
        const without = difference(part.names, names, budget);
        return [
          ...(isNothing(within) ? [] : [{ names: within, matched: [...part.matched, formula] }]),
          ...(isNothing(without) ? [] : [{ names: without, matched: part.matched }]),
        ];
      });
    }
    return parts.map(({ names, matched }) => ({
      names,
      formula: matched.length === 0 ? additional : formulas.and(matched),
    }));
  }
}
