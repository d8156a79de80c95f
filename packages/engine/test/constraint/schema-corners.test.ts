/* oxlint-disable unicorn/no-thenable -- "then" is a keyword of JSON Schema */
import assert from 'node:assert/strict';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { SchemaRefusal } from '../../src/constraint/schema/refusal.ts';
import { SchemaProbe } from './schema-probe.ts';

/** Where validators differ: equality of numbers, keywords beside each other, references, names that objects inherit. */
const SCHEMAS: readonly unknown[] = [
  { unevaluatedProperties: false },
  { type: 'object', properties: { foo: { type: 'string' } }, unevaluatedProperties: false },
  { allOf: [{ properties: { bar: { type: 'string' } } }], properties: { foo: true }, unevaluatedProperties: false },
  {
    anyOf: [
      { properties: { bar: { const: 'bar' } }, required: ['bar'] },
      { properties: { baz: { const: 'baz' } }, required: ['baz'] },
    ],
    properties: { foo: { type: 'string' } },
    unevaluatedProperties: false,
  },
  {
    if: { properties: { foo: { const: 'then' } }, required: ['foo'] },
    then: { properties: { bar: { type: 'string' } }, required: ['bar'] },
    else: { properties: { baz: { type: 'string' } } },
    unevaluatedProperties: false,
  },
  { not: { not: { properties: { bar: { const: 'bar' } }, required: ['bar'] } }, unevaluatedProperties: false },
  { unevaluatedItems: false },
  { prefixItems: [{ type: 'string' }], unevaluatedItems: false },
  { contains: { multipleOf: 2 }, unevaluatedItems: false },
  { items: { type: 'number' }, unevaluatedItems: { type: 'string' } },
  { contains: { const: 1 }, maxContains: 1 },
  { contains: { const: 1 }, minContains: 2 },
  { minContains: 2 },
  { contains: { const: 1 }, minContains: 0 },
  { contains: { const: 1 }, minContains: 1, maxContains: 3 },
  { $ref: '#foo', $defs: { A: { $anchor: 'foo', type: 'integer' } } },
  {
    $id: 'http://x/root',
    $ref: 'inner#foo',
    $defs: { A: { $id: 'inner', $defs: { B: { $anchor: 'foo', type: 'integer' } } } },
  },
  {
    $id: 'https://test.json-schema.org/typical-dynamic-resolution/root',
    $ref: 'list',
    $defs: {
      foo: { $dynamicAnchor: 'items', type: 'string' },
      list: {
        $id: 'list',
        type: 'array',
        items: { $dynamicRef: '#items' },
        $defs: { items: { $dynamicAnchor: 'items' } },
      },
    },
  },
  { enum: [[false]] },
  { enum: [[0]] },
  { const: 1 },
  { const: 0 },
  { const: false },
  { const: { a: false } },
  { const: { a: 0 } },
  { enum: [1, '1', true] },
  { const: -2.0 },
  { const: 'hello\u0000there' },
  { uniqueItems: true },
  { uniqueItems: true, items: { type: 'integer' } },
  { prefixItems: [{ type: 'boolean' }, { type: 'boolean' }], uniqueItems: true },
  { prefixItems: [{ type: 'boolean' }, { type: 'boolean' }], uniqueItems: true, items: false },
  { dependentRequired: { bar: ['foo'] } },
  { dependentRequired: { 'foo\nbar': ['foo\rbar'], 'foo"bar': ["foo'bar"] } },
  { dependentSchemas: { bar: { properties: { foo: { type: 'integer' }, bar: { type: 'integer' } } } } },
  { if: { const: 0 } },
  { then: { const: 0 } },
  { if: { exclusiveMaximum: 0 }, then: { minimum: -10 }, else: { multipleOf: 2 } },
  { allOf: [{ if: { exclusiveMaximum: 0 } }, { then: { minimum: -10 } }, { else: { multipleOf: 2 } }] },
  { if: true, then: { const: 'then' }, else: { const: 'else' } },
  { minProperties: 1 },
  { maxProperties: 0 },
  { maxProperties: 2.0 },
  { minLength: 2 },
  { maxLength: 2 },
  { minLength: 2.0, maxLength: 2.0 },
  { minItems: 1 },
  { maxItems: 2 },
  { propertyNames: { maxLength: 3 } },
  { propertyNames: { pattern: '^a+$' } },
  { propertyNames: false },
  { propertyNames: { const: 'foo' } },
  { propertyNames: { enum: ['foo', 'bar'] } },
  { patternProperties: { 'f.*o': { type: 'integer' } } },
  { patternProperties: { '[0-9]{2,}': { type: 'boolean' }, X_: { type: 'string' } } },
  { patternProperties: { '^.*bar$': { type: 'null' } } },
  { patternProperties: { 'f.*': true, 'b.*': false } },
  { prefixItems: [{ type: 'integer' }, { type: 'string' }] },
  { prefixItems: [true, false] },
  { prefixItems: [{ type: 'string' }], items: { type: 'integer' } },
  { items: false, prefixItems: [{}, {}, {}] },
  { type: 'integer' },
  { type: 'number' },
  { type: ['integer', 'string'] },
  { type: ['array', 'object', 'null'] },
  { type: 'boolean' },
  { multipleOf: 2 },
  { multipleOf: 1.5 },
  { multipleOf: 0.0001 },
  { type: 'integer', multipleOf: 0.123456789 },
  { multipleOf: 0.01 },
  { exclusiveMinimum: 1.1 },
  { minimum: -2 },
  { minimum: -2.0, maximum: 300 },
  { exclusiveMaximum: 3.0 },
  { format: 'ipv4' },
  { format: 'date' },
  { contentMediaType: 'application/json' },
  { default: [], properties: { foo: { type: 'integer', default: [] } } },
  { not: { type: 'integer' } },
  { not: { type: ['integer', 'boolean'] } },
  { not: {} },
  { not: true },
  { not: false },
  { not: { type: 'object', properties: { foo: { type: 'string' } } } },
  { properties: { foo: { not: {} } } },
  { oneOf: [{ type: 'integer' }, { minimum: 2 }] },
  { oneOf: [{ required: ['foo', 'bar'] }, { required: ['foo', 'baz'] }] },
  { anyOf: [true, false] },
  { allOf: [{ maximum: 30 }, { minimum: 20 }] },
  { allOf: [{ multipleOf: 2 }], anyOf: [{ multipleOf: 3 }], oneOf: [{ multipleOf: 5 }] },
  { properties: { foo: { $ref: '#' } }, additionalProperties: false },
  { $ref: '#/$defs/c', $defs: { a: { type: 'integer' }, b: { $ref: '#/$defs/a' }, c: { $ref: '#/$defs/b' } } },
  { properties: { foo: { $ref: '#/$defs/r', maxItems: 2 } }, $defs: { r: { type: 'array' } } },
  { properties: { $ref: { type: 'string' } } },
  { properties: { $ref: { $ref: '#/$defs/is-string' } }, $defs: { 'is-string': { type: 'string' } } },
  {
    properties: {
      __proto__: { type: 'number' },
      toString: { properties: { length: { type: 'string' } } },
      constructor: { type: 'number' },
    },
  },
  { required: ['__proto__', 'toString', 'constructor'] },
  {
    $schema: 'http://localhost:1234/draft2020-12/metaschema-no-validation.json',
    properties: { badProperty: false, numberProperty: { minimum: 10 } },
  },
  { $schema: 'https://json-schema.org/draft/2019-09/schema', type: 'integer' },
  { additionalProperties: { type: 'boolean' }, properties: { foo: {}, bar: {} } },
  { allOf: [{ properties: { foo: {} } }], additionalProperties: { type: 'boolean' } },
  { propertyNames: { maxLength: 5 }, additionalProperties: { type: 'number' } },
  {
    dependentSchemas: { foo: {}, foo2: { properties: { bar: {} } } },
    properties: { foo2: {} },
    additionalProperties: false,
  },
  {
    items: { $ref: '#/$defs/item' },
    $defs: {
      item: { type: 'array', items: false, prefixItems: [{ $ref: '#/$defs/sub' }, { $ref: '#/$defs/sub' }] },
      sub: { type: 'object', required: ['foo'] },
    },
  },
  { pattern: '^a*$' },
  { pattern: 'a+' },
  { pattern: '^\\d$' },
  { pattern: '\\W' },
  { pattern: '^\\p{Letter}+$' },
  { pattern: '\\u{1F432}' },
  { pattern: '^\\cC$' },
  { pattern: '\\s' },
  { pattern: '^🐲*$' },
  { pattern: '[a-z]cole' },
  { pattern: '(?<!x)y' },
  { pattern: '\\bfoo\\b' },
];

/** Each is tried on every schema. */
const INSTANCES: readonly unknown[] = [
  null,
  true,
  false,
  0,
  1,
  -1,
  1.0,
  1.1,
  2,
  3,
  2.5,
  35,
  0.0075,
  0.00751,
  0.0001,
  4.5,
  1e308,
  -2,
  -2.0001,
  -100,
  100,
  300,
  300.1,
  9007199254740991,
  12391239123,
  1e-7,
  '',
  'a',
  'aa',
  'aaa',
  'foo',
  'xa',
  '1',
  'hello\u0000there',
  'hellothere',
  '🐲',
  '🐲🐲',
  '\u0003',
  'école',
  '127.0.0.1',
  '2020-01-01',
  'not-a-date',
  'then',
  'else',
  'x foo y',
  ' ',
  [],
  [1],
  [1, 1],
  [1, 2],
  [1, 2, 3],
  [2, 2],
  [0],
  [false],
  [[false]],
  [[0]],
  [0, false],
  [1, true],
  [true, false],
  [true, true],
  [false, true, 1],
  ['foo'],
  ['foo', 1],
  ['foo', 'bar'],
  [1, 'foo'],
  [{ a: 1 }, { a: 1 }],
  [{ a: 1 }, { a: 2 }],
  [[1], [1]],
  [[{ foo: 1 }, { foo: 2 }]],
  [[{}]],
  ['1', 1],
  [1, 1, 1, 1],
  [null],
  [{ a: false }, { a: 0 }],
  {},
  { foo: 1 },
  { foo: 'foo' },
  { bar: 1 },
  { bar: 'bar' },
  { foo: 'a', bar: 'bar' },
  { foo: 'foo', baz: 'baz' },
  { foo: 'then', bar: 'b' },
  { foo: 'then', baz: 'b' },
  { foo: 'else', baz: 'b' },
  { foo: 1, bar: 2 },
  { foo: 1, bar: 2, baz: 3 },
  { foo: true, bar: true },
  { a: false },
  { a: 0 },
  { f: 1 },
  { fo: 1 },
  { foooooo: 1 },
  { aaa: 1 },
  { aaA: 1 },
  { 'foo\nbar': 1, 'foo\rbar': 2 },
  { 'foo\nbar': 1 },
  { "foo'bar": 1 },
  { 'foo"bar': 1 },
  { foo: { foo: false } },
  { foo: { bar: false } },
  { bar: { foo: 1 } },
  { $ref: 'a' },
  { $ref: 2 },
  JSON.parse('{"__proto__":"foo"}'),
  JSON.parse('{"__proto__":1,"toString":{"length":"foo"},"constructor":37}'),
  { toString: { length: 37 } },
  { constructor: { length: 37 } },
  { badProperty: 1 },
  { numberProperty: 1 },
  { a12: true },
  { a12: 1 },
  { X_y: 's' },
  { foo2: 1 },
  { foo: [] },
  { foo: [1, 2, 3] },
  { foo: 'x', quux: 1 },
  { foobar: null },
  { foobar: 1 },
];

describe('schemas with corners, each with the same instances', function () {
  this.timeout(120_000);

  it('take no instance that ajv finds invalid, and nearly all that it finds valid', () => {
    let valid = 0;
    let taken = 0;
    let refused = 0;
    for (const schema of SCHEMAS) {
      // Names that objects inherit are no properties of a JSON value.
      const ajv = new Ajv2020({ strict: false, validateFormats: false, validateSchema: false, ownProperties: true });
      const validate = ajv.compile(schema as object);
      let probe: SchemaProbe;
      try {
        probe = new SchemaProbe(schema);
      } catch (error) {
        if (!(error instanceof SchemaRefusal)) throw error;
        refused++;
        continue;
      }
      for (const instance of INSTANCES) {
        const text = JSON.stringify(instance);
        const isValid = isValidFor(validate, text);
        if (isValid === null) continue;
        const isTaken = probe.takes(text);
        assert.ok(isValid || !isTaken, `${JSON.stringify(schema)} takes ${text}`);
        if (isValid) valid++;
        if (isValid && isTaken) taken++;
      }
    }
    assert.ok(valid > 5000, `${valid} valid instances`);
    assert.ok(taken >= 0.95 * valid, `${taken} of ${valid} valid instances taken`);
    assert.ok(refused <= 0.05 * SCHEMAS.length, `${refused} of ${SCHEMAS.length} schemas refused`);
  });
});

/** Null where ajv itself fails: its comparison calls an object's own `toString`. */
function isValidFor(validate: (value: unknown) => unknown, text: string): boolean | null {
  try {
    return validate(JSON.parse(text)) === true;
  } catch (error) {
    if (error instanceof TypeError) return null;
    throw error;
  }
}
