import fc from 'fast-check';

/** Names and strings of few characters, so that keywords meet. */
const name = fc.constantFrom('a', 'b', 'ab', 'q"\\', 'é', 'n\n');
const text = fc.oneof(name, fc.stringMatching(/^[ab1é😀"\\ -]{0,4}$/u));
const number = fc.oneof(fc.integer({ min: -12, max: 12 }), fc.constantFrom(0.5, -0.5, 1.25, 100, 1e3, 1e21));

const scalar = fc.oneof(fc.constant(null), fc.boolean(), number, text);
/** Values that schemas of `schemas` speak of. */
export const values = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalar,
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(name, tie('value'), { maxKeys: 3, noNullPrototype: true }),
  ),
})).value;

const count = fc.nat({ max: 3 });
const pattern = fc.constantFrom(
  '^a',
  'b$',
  '^[ab]*$',
  '[^a]',
  '^.$',
  '\\d',
  '^(?!a).*b',
  '\\bb',
  '^\\S+$',
  'é',
  '^$',
  '^"',
  '\\\\',
);
const type = fc.constantFrom('null', 'boolean', 'integer', 'number', 'string', 'array', 'object');
const format = fc.constantFrom('date', 'time', 'ipv4', 'uuid', 'email', 'hostname', 'duration', 'date-time', 'ipv6');

/** Some of the keywords, few enough that not every schema is empty. */
const record = (keywords: Readonly<Record<string, fc.Arbitrary<unknown>>>): fc.Arbitrary<object> =>
  fc
    .subarray(Object.entries(keywords), { minLength: 1, maxLength: Math.min(3, Object.keys(keywords).length) })
    .chain((chosen) => fc.record(Object.fromEntries(chosen), { noNullPrototype: true }));

/** JSON schemas of the keywords of draft 2020-12 that concern values. */
export const schemas = fc.letrec<{ schema: unknown; object: unknown }>((tie) => {
  const list = fc.array(tie('schema'), { minLength: 1, maxLength: 3 });
  const numbers = record({
    minimum: number,
    maximum: number,
    exclusiveMinimum: number,
    exclusiveMaximum: number,
    multipleOf: fc.constantFrom(1, 2, 3, 0.5),
  });
  const strings = record({ minLength: count, maxLength: count, pattern });
  const arrays = record({
    items: tie('schema'),
    prefixItems: list,
    minItems: count,
    maxItems: count,
    contains: tie('schema'),
    minContains: count,
    maxContains: count,
    uniqueItems: fc.boolean(),
    unevaluatedItems: tie('schema'),
  });
  const objects = record({
    properties: fc.dictionary(name, tie('schema'), { maxKeys: 3, noNullPrototype: true }),
    required: fc.uniqueArray(name, { maxLength: 2 }),
    additionalProperties: tie('schema'),
    patternProperties: fc.dictionary(pattern, tie('schema'), { maxKeys: 2, noNullPrototype: true }),
    propertyNames: tie('schema'),
    minProperties: count,
    maxProperties: count,
    dependentRequired: fc.dictionary(name, fc.array(name, { maxLength: 2 }), { maxKeys: 1, noNullPrototype: true }),
    dependentSchemas: fc.dictionary(name, tie('schema'), { maxKeys: 1, noNullPrototype: true }),
    unevaluatedProperties: tie('schema'),
  });
  const joins = record({
    allOf: list,
    anyOf: list,
    oneOf: list,
    not: tie('schema'),
    if: tie('schema'),
    ...Object.fromEntries(['then', 'else'].map((keyword) => [keyword, tie('schema')])),
    $ref: fc.constantFrom('#', '#/$defs/one', '#/$defs/two'),
  });
  const plain = record({ type: fc.oneof(type, fc.uniqueArray(type, { minLength: 1, maxLength: 3 })) });
  const chosen = fc.oneof(
    record({ const: values }),
    record({ enum: fc.array(values, { minLength: 1, maxLength: 3 }) }),
    record({ format }),
  );
  const typed = fc.oneof(
    numbers.map((keywords) => ({ type: 'number', ...keywords })),
    strings.map((keywords) => ({ type: 'string', ...keywords })),
    arrays.map((keywords) => ({ type: 'array', ...keywords })),
    objects.map((keywords) => ({ type: 'object', ...keywords })),
  );
  const mixed = fc
    .tuple(plain, numbers, strings, arrays, objects, joins)
    .map((parts) => Object.assign({}, ...parts) as object);
  return {
    object: fc.oneof(
      { depthSize: 'small' },
      plain,
      chosen,
      typed,
      typed,
      joins,
      fc.tuple(typed, joins).map(([a, b]) => ({ ...b, ...a })),
      mixed,
    ),
    schema: fc.oneof(
      { depthSize: 'small' },
      { weight: 1, arbitrary: fc.boolean() },
      { weight: 8, arbitrary: tie('object') },
    ),
  };
});

/** Whole schemas, with what their references lead to. */
export const rootSchemas = fc
  .record({ root: schemas.object, one: schemas.schema, two: schemas.schema }, { noNullPrototype: true })
  .map(({ root, one, two }) => ({ ...(root as object), $defs: { one, two } }));
