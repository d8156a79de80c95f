import assert from 'node:assert/strict';
import { toJsonSchema } from '@langchain/core/utils/json_schema';
import { zodSchema } from 'ai';
import { zodResponseFormat, zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { ZOD_KINDS } from '../fixtures/zod-kinds.ts';
import { refusalOf, SchemaProbe } from './schema-probe.ts';

/** What turns zod's types into the schemas that are sent, by whose it is. */
const EMITTERS: Readonly<Record<string, (kind: z.ZodType) => unknown>> = {
  'zod, draft 2020-12': (kind) => z.toJSONSchema(kind, { target: 'draft-2020-12' }),
  'zod, draft 2020-12, of inputs': (kind) => z.toJSONSchema(kind, { target: 'draft-2020-12', io: 'input' }),
  'zod, draft-07': (kind) => z.toJSONSchema(kind, { target: 'draft-7' }),
  'zod, draft-07, of inputs': (kind) => z.toJSONSchema(kind, { target: 'draft-7', io: 'input' }),
  'zod, draft-04': (kind) => z.toJSONSchema(kind, { target: 'draft-4' }),
  'zod, OpenAPI 3.0': (kind) => z.toJSONSchema(kind, { target: 'openapi-3.0' }),
  'the AI SDK': (kind) => zodSchema(kind).jsonSchema,
  'the AI SDK, by references': (kind) => zodSchema(kind, { useReferences: true }).jsonSchema,
  LangChain: (kind) => toJsonSchema(kind),
  "openai's chat completions": (kind) => zodResponseFormat(z.object({ it: kind }), 'it').json_schema.schema,
  "openai's Responses": (kind) => zodTextFormat(z.object({ it: kind }), 'it').schema,
};

describe('the schemas that clients emit', () => {
  for (const [emitter, emit] of Object.entries(EMITTERS)) {
    it(`are all taken: ${emitter}`, async () => {
      let taken = 0;
      for (const [name, kind] of Object.entries(ZOD_KINDS)) {
        let schema: unknown;
        try {
          schema = await emit(kind);
        } catch {
          // What the emitter itself has no schema for is never sent.
          continue;
        }
        assert.equal(refusalOf(schema)?.message, undefined, `${name}: ${JSON.stringify(schema)}`);
        taken += 1;
      }
      assert.ok(taken > Object.keys(ZOD_KINDS).length / 2, `${taken} have a schema`);
    });
  }
});

/** Every keyword that OpenAI's structured outputs have, each with a value that fits and one that does not. */
const STRUCTURED_OUTPUTS: readonly (readonly [schema: object, valid: unknown, invalid: unknown])[] = [
  [{ type: 'string', pattern: '^@[a-zA-Z0-9_]+$' }, '@user_1', 'user'],
  [{ type: 'string', format: 'date-time' }, '2024-02-29T23:59:59Z', '2024-02-30T00:00:00Z'],
  [{ type: 'string', format: 'time' }, '23:59:59Z', '25:00:00Z'],
  [{ type: 'string', format: 'date' }, '2024-02-29', '2023-02-29'],
  [{ type: 'string', format: 'duration' }, 'P1DT2H', '1 day'],
  [{ type: 'string', format: 'email' }, 'a.b@example.org', 'a.b'],
  [{ type: 'string', format: 'hostname' }, 'www.example.org', '-x'],
  [{ type: 'string', format: 'ipv4' }, '192.168.0.1', '192.168.0.256'],
  [{ type: 'string', format: 'ipv6' }, '2001:db8::1', '2001::db8::1'],
  [{ type: 'string', format: 'uuid' }, '123e4567-e89b-12d3-a456-426614174000', '123e4567'],
  [{ type: 'number', multipleOf: 0.5 }, 1.5, 1.25],
  [{ type: 'number', minimum: 0, maximum: 1 }, 0.25, 1.5],
  [{ type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1 }, 0.25, 1],
  [{ type: 'integer', minimum: -130, maximum: 130 }, -130, 131],
  [{ type: 'array', items: { type: 'string' }, minItems: 1, maxItems: 2 }, ['a'], []],
  [{ type: ['string', 'null'] }, null, 1],
  [{ type: 'string', enum: ['C', 'F'] }, 'C', 'K'],
  [{ type: 'string', const: 'user' }, 'user', 'admin'],
  [{ anyOf: [{ type: 'boolean' }, { type: 'integer' }] }, 7, 'x'],
  [
    {
      $ref: '#/$defs/step',
      $defs: {
        step: { type: 'object', properties: { a: { type: 'string' } }, required: ['a'], additionalProperties: false },
      },
    },
    { a: 'x' },
    { a: 'x', b: 1 },
  ],
];

describe("the keywords of OpenAI's structured outputs", () => {
  it('are all enforced, alone and as a property', () => {
    for (const [schema, valid, invalid] of STRUCTURED_OUTPUTS) {
      const strict = { type: 'object', properties: { it: schema }, required: ['it'], additionalProperties: false };
      const { $defs, ...inner } = schema as { $defs?: object };
      const nested = $defs === undefined ? strict : { ...strict, properties: { it: inner }, $defs };
      for (const [tried, wrap] of [
        [schema, (value: unknown) => value],
        [nested, (value: unknown) => ({ it: value })],
      ] as const) {
        const probe = new SchemaProbe(tried);
        assert.equal(probe.takes(JSON.stringify(wrap(valid))), true, JSON.stringify(tried));
        assert.equal(probe.takes(JSON.stringify(wrap(invalid))), false, JSON.stringify(tried));
      }
    }
  });

  it('may refer to the root and to each other without end', () => {
    const node = { type: 'object', required: ['value', 'next'], additionalProperties: false };
    for (const schema of [
      { ...node, properties: { value: { type: 'number' }, next: { anyOf: [{ $ref: '#' }, { type: 'null' }] } } },
      {
        ...node,
        properties: { value: { type: 'number' }, next: { anyOf: [{ $ref: '#/$defs/node' }, { type: 'null' }] } },
        $defs: {
          node: {
            ...node,
            properties: { value: { type: 'number' }, next: { anyOf: [{ $ref: '#/$defs/node' }, { type: 'null' }] } },
          },
        },
      },
    ]) {
      const probe = new SchemaProbe(schema);
      assert.equal(probe.takes('{"value":1,"next":{"value":2,"next":null}}'), true);
      assert.equal(probe.takes('{"value":1,"next":{"value":2}}'), false);
    }
  });
});
