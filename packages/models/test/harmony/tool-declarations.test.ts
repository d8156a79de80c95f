import assert from 'node:assert/strict';
import { declareTools, type HarmonyTool, type JsonSchema } from '../../src/gpt-oss/harmony/index.ts';

function declared(
  properties: JsonSchema,
  required: readonly string[] = [],
  style: 'nested' | 'flat' = 'nested',
): string {
  const text = declareTools([{ name: 'f', parameters: { type: 'object', properties, required } }], style);
  const body =
    /^# Tools\n\n## functions\n\nnamespace functions \{\n\ntype f = \(_: \{\n([\s\S]*)\}\) => any;\n\n\} \/\/ namespace functions$/;
  return body.exec(text)?.[1] ?? assert.fail(text);
}

describe('tool declarations', () => {
  it('render_functions_with_parameters', () => {
    const format = { type: 'string', enum: ['celsius', 'fahrenheit'], default: 'celsius' };
    const tools: HarmonyTool[] = [
      { name: 'where', description: 'Tells where the user is.' },
      {
        name: 'weather',
        description: 'Tells the weather.\nOne place only.',
        parameters: {
          type: 'object',
          properties: { place: { type: 'string', description: 'A town, e.g. Oslo' }, format },
          required: ['place'],
        },
      },
      {
        name: 'weathers',
        description: 'Tells the weather in many places.',
        parameters: {
          type: 'object',
          properties: {
            places: { type: 'array', items: { type: 'string' }, description: 'Towns, e.g. ["Oslo"]' },
            format,
          },
          required: ['places'],
        },
      },
    ];
    assert.equal(
      declareTools(tools, 'nested'),
      `# Tools

## functions

namespace functions {

// Tells where the user is.
type where = () => any;

// Tells the weather.
// One place only.
type weather = (_: {
// A town, e.g. Oslo
place: string,
format?: "celsius" | "fahrenheit", // default: celsius
}) => any;

// Tells the weather in many places.
type weathers = (_: {
// Towns, e.g. ["Oslo"]
places: string[],
format?: "celsius" | "fahrenheit", // default: celsius
}) => any;

} // namespace functions`,
    );
  });

  it('no_parameters: a function without properties takes nothing', () => {
    for (const parameters of [{}, { type: 'object' }, { type: 'object', properties: {} }]) {
      assert.match(declareTools([{ name: 'f', parameters }], 'nested'), /\ntype f = \(\) => any;\n/);
    }
  });

  it('plain types, lists of types and unknown types', () => {
    const properties = {
      a: { type: 'integer' },
      b: { type: 'number' },
      c: { type: 'boolean' },
      d: { type: ['integer', 'string', 'null'] },
      e: { anyOf: [{ type: 'string' }] },
      f: {},
      g: true,
      h: { type: 'array' },
      i: { type: 'array', items: { type: 'array', items: { type: 'integer' } } },
    };
    assert.equal(
      declared(properties, ['a', 'b']),
      'a: number,\nb: number,\nc?: boolean,\nd?: number | string | null,\ne?: any,\nf?: any,\ng?: any,\nh?: Array<any>,\ni?: number[][],\n',
    );
  });

  it('defaults: strings in quotes, enum values bare, the rest as JSON', () => {
    const properties = {
      a: { type: 'string', default: 'x' },
      b: { type: 'string', enum: ['x', 'y'], default: 'x' },
      c: { type: 'integer', default: 10 },
      d: { type: 'array', items: { type: 'string' }, default: ['x', 'y'] },
      e: { type: 'boolean', default: false },
    };
    assert.equal(
      declared(properties),
      'a?: string, // default: "x"\nb?: "x" | "y", // default: x\nc?: number, // default: 10\n' +
        'd?: string[], // default: ["x","y"]\ne?: boolean, // default: false\n',
    );
  });

  it('nullable, titles, descriptions of several lines and examples', () => {
    const properties = {
      a: { type: 'string', nullable: true },
      b: { type: 'string', title: 'The b', description: 'First.\nSecond.', examples: ['x', 'y'] },
    };
    assert.equal(
      declared(properties),
      'a?: string | null,\n// The b\n//\n// First.\n// Second.\n// Examples:\n// - "x"\n// - "y"\nb?: string,\n',
    );
  });

  it('nested objects', () => {
    const address = {
      type: 'object',
      properties: { town: { type: 'string' }, zip: { type: 'integer' } },
      required: ['town'],
    };
    assert.equal(
      declared({ a: address, b: { type: 'array', items: address } }, ['a']),
      'a: {\n    town: string,\n    zip?: number,\n    },\nb?: {\n    town: string,\n    zip?: number,\n    }[],\n',
    );
  });

  it('oneOf in a property', () => {
    const id = {
      description: 'What to open.',
      default: -1,
      oneOf: [
        { type: 'string', description: 'An address.' },
        { type: 'integer', description: 'A number.', nullable: true, default: 3 },
      ],
    };
    assert.equal(
      declared({ id }, ['id']),
      '// What to open.\n// default: -1\nid:\n | string\n | number | null // A number. default: 3\n,\n',
    );
  });

  it('oneOf in an array, as the published prompts have it', () => {
    const items = {
      oneOf: [
        { type: 'string', default: 'x' },
        { type: 'integer', description: 'A number.' },
      ],
    };
    assert.equal(
      declared({ list: { type: 'array', items } }),
      'list?: \n     | string // default: "x"\n     | number // A number.[],\n',
    );
  });

  it('flat: nested objects and unions in a word', () => {
    const properties = {
      a: { type: 'object', properties: { b: { type: 'string' } } },
      c: { oneOf: [{ type: 'string' }] },
      d: { type: 'array' },
      e: { type: 'string', default: 'x' },
      f: { enum: [1, 'two', [3, 4]], default: { g: 1 } },
    };
    assert.equal(
      declared(properties, ['a'], 'flat'),
      'a: object,\nc?: any,\nd?: any[],\ne?: string, // default: x\nf?: 1 | "two" | [3, 4], // default: {"g": 1}\n',
    );
  });
});
