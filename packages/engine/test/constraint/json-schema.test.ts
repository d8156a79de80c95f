import assert from 'node:assert/strict';
import { refusalOf, SchemaProbe } from './schema-probe.ts';

/** What a schema has to take and what not, as values or as texts. */
interface Case {
  readonly schema: unknown;
  readonly valid?: readonly unknown[];
  readonly invalid?: readonly unknown[];
  readonly texts?: readonly string[];
  readonly notTexts?: readonly string[];
}

function check({ schema, valid = [], invalid = [], texts = [], notTexts = [] }: Case): void {
  const probe = new SchemaProbe(schema);
  const taken = (text: string, expected: boolean): void =>
    assert.equal(probe.takes(text), expected, `${text} with ${JSON.stringify(schema)}`);
  for (const value of valid) taken(JSON.stringify(value), true);
  for (const value of invalid) taken(JSON.stringify(value), false);
  for (const text of texts) taken(text, true);
  for (const text of notTexts) taken(text, false);
}

describe('a schema of strings', () => {
  it('takes patterns anywhere in the text, and never what is no JSON', () => {
    check({
      schema: { type: 'string', pattern: '^.+$' },
      valid: ['a', '"', '\\', 'é', '😀', '\t'],
      invalid: ['', 'a\n'],
    });
    check({ schema: { type: 'string', pattern: '^.+$' }, notTexts: ['"""', '"\t"', '"\\"', '"a', '"\u0001"'] });
    check({ schema: { type: 'string', pattern: '^[^,]+$' }, valid: ['a"b', 'a\nb'], invalid: ['a,b', ''] });
    check({ schema: { type: 'string', pattern: '^"[a-z]*"$' }, valid: ['"ab"', '""'], invalid: ['ab', '"a'] });
    check({ schema: { type: 'string', pattern: '^C:\\\\[a-z]+$' }, valid: ['C:\\dos'], invalid: ['C:dos'] });
    check({ schema: { type: 'string', pattern: 'b' }, valid: ['abc', 'b'], invalid: ['ac'] });
    check({ schema: { type: 'string', pattern: '^\\p{Lu}' }, valid: ['Äb'], invalid: ['äb'] });
    check({ schema: { type: 'string', pattern: '\\bab\\b' }, valid: ['x ab.'], invalid: ['xab'] });
  });

  it('counts characters, not bytes or UTF-16 units, and takes escapes for them', () => {
    check({ schema: { type: 'string', maxLength: 2 }, valid: ['éé', '😀😀', '\n"'], invalid: ['abc', '😀😀😀'] });
    check({ schema: { type: 'string', pattern: '^.$' }, valid: ['é', '😀'], invalid: ['ab'] });
    check({
      schema: { type: 'string', minLength: 2, maxLength: 2 },
      texts: ['"\\u00e9\\n"', '"\\ud83d\\ude00a"', '"\\/\\u002F"'],
      notTexts: ['"\\u00e9"', '"\\ud83da"', '"\\ude00a"', '"\\x41a"'],
    });
  });

  it('takes no bytes that are no UTF-8: longer forms than a character has, surrogates, more than the last character', () => {
    const probe = new SchemaProbe({ type: 'string', maxLength: 2 });
    const taken = (bytes: readonly number[]): boolean => {
      const body = probe.start();
      return [0x22, ...bytes, 0x22].every((byte) => body.accept(Uint8Array.of(byte))) && body.mayEnd;
    };
    for (const bytes of [
      [0xc3, 0xa9],
      [0xe0, 0xa0, 0x80],
      [0xed, 0x9f, 0xbf],
      [0xf0, 0x90, 0x80, 0x80],
      [0xf4, 0x8f, 0xbf, 0xbf],
    ])
      assert.equal(taken(bytes), true, Buffer.from(bytes).toString('hex'));
    for (const bytes of [
      [0xc1, 0xbf],
      [0xe0, 0x9f, 0xbf],
      [0xed, 0xa0, 0x80],
      [0xf0, 0x8f, 0xbf, 0xbf],
      [0xf4, 0x90, 0x80, 0x80],
      [0xa9],
    ])
      assert.equal(taken(bytes), false, Buffer.from(bytes).toString('hex'));
  });

  it('joins patterns, lengths and formats', () => {
    check({
      schema: { type: 'string', pattern: 'a', minLength: 2, maxLength: 3, allOf: [{ pattern: '^[^b]*$' }] },
      valid: ['xa', 'aaa'],
      invalid: ['a', 'ab', 'xxxa'],
    });
    check({
      schema: { type: 'string', format: 'date', pattern: '^2' },
      valid: ['2024-02-29'],
      invalid: ['2023-02-29', '1999-01-01'],
    });
    check({
      schema: { type: 'string', format: 'ipv4', maxLength: 8 },
      valid: ['1.2.3.4'],
      invalid: ['10.20.30.40', '1.2.3'],
    });
    check({ schema: { type: 'string', format: 'an-unknown-one' }, valid: ['anything'] });
  });

  it('is held to the formats of structured outputs', () => {
    for (const [format, valid, invalid] of [
      ['date-time', '2024-02-29T12:30:00Z', '2024-02-30T12:30:00Z'],
      ['time', '12:30:00+02:00', '25:00:00Z'],
      ['date', '2000-02-29', '1900-02-29'],
      ['duration', 'P1Y2M3DT4H', 'P'],
      ['email', 'ada.l@example.org', 'ada@'],
      ['hostname', 'a-b.example', '-a.example'],
      ['ipv4', '255.0.0.1', '256.0.0.1'],
      ['ipv6', '2001:db8::1', '1::2::3'],
      ['uuid', '123e4567-e89b-12d3-a456-426614174000', '123e4567'],
    ] as const) {
      check({ schema: { type: 'string', format }, valid: [valid], invalid: [invalid, `${valid} `] });
    }
  });
});

describe('a schema of numbers', () => {
  it('keeps to bounds and steps, in whole numbers and in fractions', () => {
    check({
      schema: { type: 'integer', minimum: -5, maximum: 10 },
      valid: [-5, 0, 10],
      invalid: [-6, 11, 1.5],
      notTexts: ['-', '01', '1.'],
    });
    check({ schema: { type: 'number', minimum: 0, maximum: 1 }, valid: [0, 0.25, 1], invalid: [1.5, -0.1] });
    check({
      schema: { type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 0.5 },
      valid: [0.01, 0.499],
      invalid: [0, 0.5],
    });
    check({ schema: { type: 'number', multipleOf: 0.01 }, valid: [19.99, 3], invalid: [0.001], texts: ['1.500'] });
    check({ schema: { type: 'integer', multipleOf: 15, minimum: 1 }, valid: [15, 300], invalid: [0, 16] });
    check({
      schema: { type: 'integer' },
      texts: ['12', '-0', '9007199254740993'],
      notTexts: ['1.5', '-', '+1', '0x1', 'NaN'],
    });
    check({ schema: { type: 'number' }, texts: ['1e-7', '0.5', '1E+2'], notTexts: ['1e999', '.5', '1.', 'Infinity'] });
    check({ schema: { enum: [1e300, Math.PI, 2] }, valid: [1e300, Math.PI, 2], invalid: [3], texts: ['2.0'] });
  });
});

describe('a schema of numbers of draft-04', () => {
  it('says by a flag whether its bounds are left out', () => {
    const bounds = { type: 'integer', minimum: 1, maximum: 3 };
    const flags = { exclusiveMinimum: true, exclusiveMaximum: true };
    check({ schema: { ...bounds, ...flags }, valid: [2], invalid: [1, 3] });
    check({ schema: { ...bounds, exclusiveMinimum: false, exclusiveMaximum: true }, valid: [1, 2], invalid: [0, 3] });
    check({ schema: { type: 'integer', ...flags }, valid: [0, -5], invalid: ['x'] });
    check({ schema: { type: 'integer', minimum: 1, exclusiveMinimum: 2 }, valid: [3], invalid: [2] });
  });
});

describe('a schema of objects', () => {
  it('writes names as they are, whatever is in them, and no name twice', () => {
    const names = ['a"b', 'line\n', 'back\\slash', 'é', '__proto__', ''];
    const properties = Object.fromEntries(names.map((name): [string, object] => [name, { type: 'integer' }]));
    const value = JSON.parse(`{${names.map((name) => `${JSON.stringify(name)}:1`).join()}}`) as object;
    check({
      schema: JSON.parse(
        `{"type":"object","properties":{${names.map((name) => `${JSON.stringify(name)}:{"type":"integer"}`).join()}},"required":${JSON.stringify(names)},"additionalProperties":false}`,
      ),
      valid: [value],
      invalid: [{}, { ...properties, x: 1 }],
    });
    check({
      schema: { type: 'object' },
      texts: ['{"a":1,"b":2}'],
      notTexts: ['{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '{"a":{"a":1,"a":1}}'],
    });
    check({
      schema: {
        type: 'object',
        patternProperties: { '^[ab]$': true, '^c[xy]?$': true },
        additionalProperties: false,
        minProperties: 5,
      },
      texts: ['{"a":1,"b":1,"c":1,"cx":1,"cy":1}'],
      notTexts: ['{"a":1,"b":1,"c":1,"cx":1}'],
    });
  });

  it('keeps required, additional, named-by-pattern and counted properties', () => {
    check({ schema: { required: ['a'] }, valid: [{ a: 1 }, { b: 1, a: 2 }, 5], invalid: [{}, { b: 1 }] });
    check({
      schema: {
        type: 'object',
        properties: { a: { type: 'string' } },
        patternProperties: { '^x_': { type: 'integer' } },
        additionalProperties: false,
      },
      valid: [{ a: 's', x_1: 1 }, { x_1: 1, a: 's' }, {}],
      invalid: [{ x_1: 's' }, { b: 1 }],
      notTexts: ['{"x_1}'],
    });
    check({
      schema: { type: 'object', minProperties: 1, maxProperties: 2 },
      valid: [{ a: 1 }],
      invalid: [{}, { a: 1, b: 2, c: 3 }],
    });
    check({ schema: { type: 'object', propertyNames: { maxLength: 1 } }, valid: [{ a: 1 }], invalid: [{ ab: 1 }] });
    check({ schema: { type: 'object', properties: { a: false } }, valid: [{}, { b: 1 }], invalid: [{ a: 1 }] });
    check({ schema: { dependentRequired: { a: ['b'] } }, valid: [{}, { a: 1, b: 1 }, { b: 1 }], invalid: [{ a: 1 }] });
    check({
      schema: {
        type: 'object',
        properties: { a: true },
        allOf: [{ properties: { b: true } }],
        unevaluatedProperties: false,
      },
      valid: [{ a: 1, b: 1 }],
      invalid: [{ c: 1 }],
    });
  });

  it('writes named properties in the order in which they were declared, with others between them', () => {
    const schema = { type: 'object', properties: { a: true, b: true } };
    check({ schema, texts: ['{"a":1,"b":2}', '{"x":0,"a":1,"y":0,"b":2,"z":0}'], notTexts: ['{"b":2,"a":1}'] });
  });
});

describe('a schema of arrays', () => {
  it('keeps items, their number, what they contain and that they differ', () => {
    check({ schema: { type: 'array', minItems: 1, maxItems: 2 }, valid: [[1], [1, {}]], invalid: [[], [1, 2, 3]] });
    check({
      schema: { prefixItems: [{ type: 'string' }], items: { type: 'integer' } },
      valid: [['a', 1], []],
      invalid: [[1], ['a', 'b']],
    });
    check({ schema: { items: [{ type: 'string' }], additionalItems: false }, valid: [['a']], invalid: [['a', 1]] });
    check({
      schema: { type: 'array', contains: { type: 'string' }, minContains: 1, maxContains: 2 },
      valid: [['a'], [1, 'a', 'b', 2]],
      invalid: [[], [1], ['a', 'b', 'c']],
    });
    check({
      schema: { type: 'array', uniqueItems: true, items: { type: 'number' } },
      valid: [[1, 2]],
      invalid: [[1, 1]],
      notTexts: ['[1,1.0]'],
    });
    check({
      schema: { uniqueItems: true, minItems: 3, items: { enum: ['a', 'b', 'c'] } },
      valid: [['b', 'a', 'c']],
      invalid: [
        ['a', 'b', 'a'],
        ['a', 'b'],
      ],
    });
  });
});

describe('schemas joined', () => {
  it('hold together, or apart', () => {
    check({
      schema: { allOf: [{ minimum: 2 }, { maximum: 3, type: 'integer' }] },
      valid: [2, 3],
      invalid: [1, 4, 'a'],
    });
    check({ schema: { type: 'integer', anyOf: [{ minimum: 10 }, { maximum: 1 }] }, valid: [10, 1], invalid: [5, 'a'] });
    check({
      schema: {
        oneOf: [
          { multipleOf: 2, type: 'integer' },
          { multipleOf: 3, type: 'integer' },
        ],
      },
      valid: [2, 3],
      invalid: [6, 5],
    });
    check({ schema: { not: { type: ['integer', 'string'] } }, valid: [null, 1.5, []], invalid: [1, 'a'] });
    check({ schema: { type: 'string', not: { pattern: '^a' } }, valid: ['', 'ba'], invalid: ['ab'] });
    check({ schema: { type: 'string', enum: ['a', 1, null] }, valid: ['a'], invalid: [1, null] });
    check({
      schema: {
        if: { properties: { k: { const: 'a' } }, required: ['k'] },
        ...Object.fromEntries(
          ['then', 'else'].map((branch) => [branch, { required: [branch === 'then' ? 'x' : 'y'] }]),
        ),
      },
      valid: [{ k: 'a', x: 1 }, { k: 'b', y: 1 }, { y: 1 }],
      invalid: [{ k: 'a' }, { k: 'a', y: 1 }, {}],
    });
    check({
      schema: { const: { a: [1, { b: null }] } },
      valid: [{ a: [1, { b: null }] }],
      invalid: [{ a: [1, {}] }, { a: [1] }],
    });
  });

  it('are found wherever a reference leads', () => {
    const $defs = { 'a/b': { type: 'integer' }, 'c%d~': { type: 'null' }, list: [{ type: 'string' }] };
    for (const [$ref, valid, invalid] of [
      ['#/$defs/a~1b', 1, 'x'],
      ['#/$defs/c%25d~0', null, 1],
      ['#/$defs/%6Cist/0', 'x', 1],
      ['#named', true, 1],
      ['inner', [], 1],
    ] as const) {
      check({
        schema: {
          $ref,
          $defs: { ...$defs, n: { $anchor: 'named', type: 'boolean' }, i: { $id: 'inner', type: 'array' } },
        },
        valid: [valid],
        invalid: [invalid],
      });
    }
    check({
      schema: {
        $ref: '#/definitions/node',
        definitions: {
          node: { type: 'object', properties: { next: { $ref: '#/definitions/node' } }, additionalProperties: false },
        },
      },
      valid: [{}, { next: { next: {} } }],
      invalid: [{ next: 1 }, { next: { next: { x: 1 } } }],
    });
    check({ schema: { $ref: '#/$defs/a', maximum: 3, $defs: { a: { type: 'integer' } } }, valid: [3], invalid: [4] });
  });
});

describe('whitespace', () => {
  it('is one space or a line break with its indentation, and nothing around the value', () => {
    const schema = { type: 'object', properties: { a: { type: 'array' } } };
    const texts = [
      '{"a":[1,2]}',
      '{ "a": [1, 2] }',
      JSON.stringify({ a: [1, { b: [] }] }, null, 2),
      JSON.stringify({ a: [] }, null, '\t'),
    ];
    check({ schema, texts, notTexts: [' {}', '{} ', '{  }', '{\n\n}', '{"a" :[]}', `{\n${' '.repeat(40)}}`] });
  });
});

describe('a schema that cannot be enforced', () => {
  it('is refused with the keyword and where it stands', () => {
    for (const [schema, keyword, pointer] of [
      [{ type: 'strange' }, 'type', '/type'],
      [{ properties: { a: { pattern: '(?<=a)b' } } }, 'pattern', '/properties/a/pattern'],
      [{ properties: { 'a/b~': { pattern: '(' } } }, 'pattern', '/properties/a~1b~0/pattern'],
      [{ items: { $ref: 'https://example.org/other' } }, '$ref', '/items/$ref'],
      [{ $ref: '#/$defs/missing' }, '$ref', '/$ref'],
      [{ $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } } }, '$ref', '/$defs/a'],
      [{ type: 'array', uniqueItems: true, items: { type: 'object' } }, 'uniqueItems', '/uniqueItems'],
      [{ type: 'number', multipleOf: 0.123_456_789 }, 'multipleOf', '/multipleOf'],
      [{ not: { type: 'string', format: 'date' } }, 'format', '/not/format'],
      [{ anyOf: [] }, 'anyOf', '/anyOf'],
      [{ minItems: -1 }, 'minItems', '/minItems'],
      [{ required: 'a' }, 'required', '/required'],
      [{ properties: [] }, 'properties', '/properties'],
      [{ items: 5 }, 'items', '/items'],
      [{ format: 'regex' }, 'format', '/format'],
      [{ enum: [] }, 'schema', ''],
      [{ type: 'integer', minimum: 2, maximum: 1 }, 'schema', ''],
      [{ type: 'object', required: ['a'], properties: { a: { $ref: '#' } } }, 'schema', ''],
      [false, 'schema', ''],
      [5, 'schema', ''],
    ] as const) {
      const refusal = refusalOf(schema);
      assert.equal(refusal?.keyword, keyword, JSON.stringify(schema));
      assert.equal(refusal.pointer, pointer, JSON.stringify(schema));
    }
  });

  it('is refused where it would take too long, whatever makes it large', () => {
    for (const schema of [
      { type: 'string', pattern: '(a|b)*a(a|b){18}' },
      {
        allOf: Array.from({ length: 14 }, (_, at) => ({ anyOf: [{ required: [`a${at}`] }, { required: [`b${at}`] }] })),
      },
      { type: 'string', maxLength: 1e9 },
    ]) {
      assert.notEqual(refusalOf(schema), null, JSON.stringify(schema));
    }
  });
});
