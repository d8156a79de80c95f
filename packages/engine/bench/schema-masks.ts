/**
 * Measures how long JSON schemas take to compile and masks to be found, each for a grammar that nobody has used before
 * and once more. Prints one JSON object.
 *
 *     node --import=tsx bench/schema-masks.ts [RANKS]
 *
 * RANKS is a file of tiktoken, such as o200k_base.tiktoken; without it, the embedded checkpoint's vocabulary is taken.
 */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { openSnapshot } from '@switchyard/models';
import { JsonGrammars } from '../src/constraint/grammar/json-grammar.ts';
import type { TokenVocabulary } from '../src/constraint/matcher/token-trie.ts';
/** To four significant digits. */
const rounded = (value: number): number => Number(value.toPrecision(4));

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
const CASES: Readonly<Record<string, { readonly schema: object | null; readonly value: unknown }>> = {
  weatherTool: {
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
  writeFileTool: {
    schema: WRITE_FILE_TOOL,
    value: { path: 'src/index.ts', content: 'import fs from "node:fs";\nconst a = `é`;\nreturn a + b;\n'.repeat(8) },
  },
  anyObject: {
    schema: null,
    value: { name: 'Ada', items: [1, { a: true }], nested: { x: { y: 'deep' } }, rate: 1e-7 },
  },
  pattern: { schema: { type: 'string', pattern: '^[\\p{L} ]{3,80}$' }, value: 'some words of a text' },
};

function ranksVocabulary(path: string): TokenVocabulary {
  const tokens: Buffer[] = [];
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    const [token, rank] = line.split(' ');
    if (token !== undefined && rank !== undefined) tokens[Number(rank)] = Buffer.from(token, 'base64');
  }
  return {
    vocabularySize: tokens.length,
    tokenBytes: (id) => tokens[id] ?? Buffer.alloc(0),
    isSpecial: (id) => tokens[id] === undefined,
  };
}

/** Longest tokens first: not how a tokenizer cuts, but with tokens of the lengths that it has. */
function tokensOf(vocabulary: TokenVocabulary): (text: string) => number[] {
  const ids = new Map<string, number>();
  for (let id = 0; id < vocabulary.vocabularySize; id += 1) {
    if (!vocabulary.isSpecial(id)) ids.set(Buffer.from(vocabulary.tokenBytes(id)).toString('latin1'), id);
  }
  return (text) => {
    const raw = Buffer.from(text).toString('latin1');
    const result: number[] = [];
    for (let at = 0; at < raw.length; ) {
      let length = Math.min(24, raw.length - at);
      while (length > 1 && !ids.has(raw.slice(at, at + length))) length -= 1;
      result.push(ids.get(raw.slice(at, at + length)) ?? 0);
      at += length;
    }
    return result;
  };
}

const [path] = process.argv.slice(2);
const vocabulary = path === undefined ? (await openSnapshot()).tokenizer : ranksVocabulary(path);
const encode = tokensOf(vocabulary);
const started = performance.now();
const grammars = await JsonGrammars.create(vocabulary);
const prepareMilliseconds = rounded(performance.now() - started);

const figures: Record<string, unknown> = {};
for (const [name, { schema, value }] of Object.entries(CASES)) {
  const compiling = performance.now();
  const text = schema === null ? null : JSON.stringify(schema);
  await grammars.compile(name, text);
  const compileMilliseconds = rounded(performance.now() - compiling);
  const rounds: Record<string, unknown> = {};
  for (const round of ['first', 'again']) {
    using body = await grammars.start(text);
    const times: number[] = [];
    for (const id of encode(JSON.stringify(value))) {
      const before = performance.now();
      const { mask } = await body.next();
      times.push(performance.now() - before);
      if ((((mask[id >>> 5] ?? 0) >>> (id & 31)) & 1) === 0) throw new Error(`${name}: token ${id} is not allowed`);
      await body.accept(id);
    }
    const sorted = times.toSorted((a, b) => a - b);
    const quantile = (part: number): number => rounded(sorted[Math.floor((sorted.length - 1) * part)] ?? 0);
    rounds[round] = { masks: sorted.length, median: quantile(0.5), p90: quantile(0.9), worst: quantile(1) };
  }
  figures[name] = { compileMilliseconds, maskMilliseconds: rounds };
}
const git = (...words: string[]): string => execFileSync('git', words, { encoding: 'utf8' }).trimEnd();
console.log(
  JSON.stringify(
    {
      commit: git('rev-parse', '--short', 'HEAD'),
      date: new Date().toISOString(),
      cpu: cpus()[0]?.model ?? 'unknown',
      loadAverage: loadavg()[0],
      node: process.versions.node,
      vocabularySize: vocabulary.vocabularySize,
      prepareMilliseconds,
      figures,
    },
    null,
    2,
  ),
);
