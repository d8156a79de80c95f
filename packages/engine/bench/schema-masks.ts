/**
 * How long JSON schemas take to compile, and masks to be found, with the vocabulary of GPT-OSS: for a grammar that nobody
 * has used before, and for one that has been.
 *
 *   node --import=tsx/esm bench/schema-masks.ts              a table
 *   node --import=tsx/esm bench/schema-masks.ts --json       the report, in the form of docs/benchmarks
 *   node --import=tsx/esm bench/schema-masks.ts --out FILE   writes it, beside the table
 *   node --import=tsx/esm bench/schema-masks.ts --quick      few repeats, with the embedded checkpoint's 4096 tokens
 */

import { parseArgs } from 'node:util';
import { createTokenizer, openSnapshot, type Tokenizer } from '@switchyard/models';
import { publishedTokenizerText } from '@switchyard/models/testing';
import { Benchmark } from '@switchyard/gpu/benchmark';
import { JsonGrammars } from '../src/constraint/grammar/json-grammar.ts';
import { textExpression } from '../src/constraint/text-grammar/text-grammar.ts';
import { textSchema } from '../src/constraint/text-grammar/text-schema.ts';
import { allowsToken } from '../src/sampling/token-mask.ts';
import { PATCH_GRAMMAR } from '../test/fixtures/patch-grammar.ts';
import { writeReport } from './write-report.ts';

const WEATHER_TOOL = {
  type: 'object',
  properties: {
    location: { type: 'string', description: 'City and country' },
    unit: { enum: ['celsius', 'fahrenheit'] },
    days: { type: 'integer', minimum: 1, maximum: 14 },
    tags: { type: 'array', items: { type: 'string', maxLength: 40 } },
    since: { type: 'string', format: 'date' },
    options: {
      type: 'object',
      properties: { verbose: { type: 'boolean' }, limit: { type: ['number', 'null'] } },
      required: ['verbose'],
      additionalProperties: false,
    },
  },
  required: ['location', 'days'],
  additionalProperties: false,
};
const WRITE_FILE_TOOL = {
  type: 'object',
  properties: { path: { type: 'string' }, content: { type: 'string' } },
  required: ['path', 'content'],
  additionalProperties: false,
};
const PATCH_TOOL = {
  type: 'object',
  properties: { input: { type: 'string', pattern: textExpression('lark', PATCH_GRAMMAR) } },
  required: ['input'],
  additionalProperties: false,
};
const EXPRESSIONS = `start: sum
sum: product (("+" | "-") product)*
product: item (("*" | "/") item)*
item: NUMBER | NAME | TEXT | NAME "(" [sum ("," sum)*] ")" | "(" sum ")"
TEXT: /"[^"\\\\\\n]*"/
%import common.NUMBER
%import common.CNAME -> NAME
%ignore " "
`;
const CODE = 'import fs from "node:fs";\nconst a = `é`;\nreturn a + b;\n';

/** A schema, or a grammar of Lark's that leads back to itself, and a value that a model writes. */
const CASES: Readonly<Record<string, { readonly schema: object | string; readonly value: unknown }>> = {
  'weather tool': {
    schema: WEATHER_TOOL,
    value: {
      location: 'Paris, the capital of France',
      unit: 'celsius',
      days: 12,
      tags: ['first tag', 'second one'],
      since: '2024-02-29',
      options: { verbose: true, limit: 1.5 },
    },
  },
  'file-writing tool': { schema: WRITE_FILE_TOOL, value: { path: 'src/index.ts', content: CODE.repeat(8) } },
  'any object': {
    schema: { type: 'object' },
    value: { name: 'Ada', items: [1, { a: true }], nested: { x: { y: 'deep' } }, rate: 1e-7 },
  },
  'pattern of letters': { schema: { type: 'string', pattern: '^[\\p{L} ]{3,80}$' }, value: 'some words of a text' },
  'custom tool with a Lark grammar of patches': {
    schema: PATCH_TOOL,
    value: { input: `*** Begin Patch\n*** Update File: a.ts\n@@\n${CODE.replaceAll(/^(?=.)/gm, '+')}*** End Patch\n` },
  },
  'custom tool with a Lark grammar of nested expressions': {
    schema: EXPRESSIONS,
    value: {
      input: 'max(1, (size + 2.5) * rate("of the loan", min(3, b - (a / 2)))) - round(total * (1 - discount), 2)',
    },
  },
};

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    out: { type: 'string' },
  },
});
const ROUNDS = values.quick ? 1 : 15;

async function openTokenizer(): Promise<Tokenizer> {
  if (values.quick) return (await openSnapshot()).tokenizer;
  return createTokenizer(JSON.parse(publishedTokenizerText()), 'tokenizer.json');
}

/** The schema as one that was never compiled. */
let copies = 0;
const newSchema = (schema: object | string): string =>
  typeof schema === 'string'
    ? textSchema(`${schema}// copy ${++copies}\n`)
    : JSON.stringify({ ...schema, $comment: `copy ${++copies}` });

const milliseconds = async (work: () => Promise<unknown>): Promise<number> => {
  const started = performance.now();
  await work();
  return performance.now() - started;
};

/** The time that each token's mask takes. @throws where one does not let the token through, or the end */
async function maskTimes(schema: string, ids: readonly number[]): Promise<number[]> {
  using body = await grammars.start(schema);
  const times: number[] = [];
  for (const id of ids) {
    const started = performance.now();
    const { mask } = await body.next();
    times.push(performance.now() - started);
    if (!allowsToken(mask, id)) throw new Error(`token ${id} is not allowed`);
    await body.accept(id);
  }
  if (!(await body.next()).endAllowed) throw new Error('the end is not allowed');
  return times;
}

const tokenizer = await openTokenizer();
const benchmark = new Benchmark({
  name: 'bench/schema-masks.ts',
  manifest: new URL('../package.json', import.meta.url),
  packages: ['@switchyard/models', 'tiktoken'],
  settings: { quick: values.quick, vocabulary: tokenizer.vocabularySize },
});
const grammars = await JsonGrammars.create(tokenizer);
for (const [name, { schema, value }] of Object.entries(CASES)) {
  const ids = tokenizer.encode(JSON.stringify(value));
  const check = await benchmark.check(name, 'masks that let every token of a valid value through', () =>
    maskTimes(newSchema(schema), ids).then(
      () => [],
      (error: unknown) => [String(error)],
    ),
  );
  const about = { better: 'lower', unit: 'ms', rounds: ROUNDS, parameters: { schema: name } } as const;
  await benchmark.measure({
    ...about,
    name: 'compile a schema',
    contenders: [
      { name: 'grammars', check, sample: () => milliseconds(() => grammars.compile('schema', newSchema(schema))) },
    ],
  });
  let used = newSchema(schema);
  await benchmark.measure({
    ...about,
    name: 'find the mask of a token',
    contenders: [
      {
        name: 'a new grammar',
        check,
        sample: async () => {
          used = newSchema(schema);
          await grammars.compile('schema', used);
          return await maskTimes(used, ids);
        },
      },
      { name: 'a grammar used before', check, sample: () => maskTimes(used, ids) },
    ],
  });
}
process.exitCode = await writeReport(benchmark, values);
