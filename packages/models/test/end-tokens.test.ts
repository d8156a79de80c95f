import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { InvalidConfigError } from '../src/errors.ts';
import { defaultGenerationConfig, parseGenerationConfig, withEndTokens } from '../src/generation-config.ts';
import { parseGptOssConfig } from '../src/gpt-oss/config.ts';
import { openSnapshot } from '../src/snapshot.ts';
import {
  type SyntheticCheckpoint,
  syntheticConfig,
  writeSyntheticCheckpoint,
} from './fixtures/synthetic-checkpoint.ts';
import { withTemporaryFolder } from './fixtures/temporary-folder.ts';

const HUGGING_FACE: SyntheticCheckpoint = { layout: 'huggingface', expertFormat: 'mxfp4' };

// The ids of the synthetic tokenizer.
const ENDOFTEXT = 260;
const RETURN = 261;
const END = 265;
const CALL = 267;

interface Case {
  readonly title: string;
  /** Absent: no generation_config.json. */
  readonly generation?: unknown;
  /** eos_token_id of config.json. */
  readonly configEos?: unknown;
  /** Special tokens that the tokenizer does not have under their names. */
  readonly lacking?: readonly string[];
  readonly ends: readonly number[];
}

const cases: readonly Case[] = [
  { title: 'there is no generation_config.json', ends: [RETURN, CALL] },
  { title: 'generation_config.json has no eos_token_id', generation: {}, ends: [RETURN, CALL] },
  { title: 'eos_token_id is null', generation: { eos_token_id: null }, ends: [RETURN, CALL] },
  { title: 'eos_token_id is an empty list', generation: { eos_token_id: [] }, ends: [RETURN, CALL] },
  { title: 'eos_token_id names <|end|> alone', generation: { eos_token_id: END }, ends: [END, RETURN, CALL] },
  {
    title: 'the list lacks <|call|>',
    generation: { eos_token_id: [RETURN, ENDOFTEXT] },
    ends: [RETURN, ENDOFTEXT, CALL],
  },
  { title: 'the list lacks <|return|>', generation: { eos_token_id: [CALL] }, ends: [RETURN, CALL] },
  { title: 'the list names a letter', generation: { eos_token_id: [65] }, ends: [65, RETURN, CALL] },
  { title: 'the list has an id twice', generation: { eos_token_id: [CALL, CALL, RETURN] }, ends: [RETURN, CALL] },
  { title: 'config.json names another', configEos: ENDOFTEXT, ends: [ENDOFTEXT, RETURN, CALL] },
  {
    title: 'config.json names several, generation_config.json one',
    generation: { eos_token_id: RETURN },
    configEos: [ENDOFTEXT, 66],
    ends: [66, ENDOFTEXT, RETURN, CALL],
  },
  { title: 'config.json says null', configEos: null, ends: [RETURN, CALL] },
  { title: 'config.json has an empty list', configEos: [], ends: [RETURN, CALL] },
  { title: 'the tokenizer lacks <|call|>', lacking: ['<|call|>'], ends: [RETURN] },
  { title: 'the tokenizer lacks both', lacking: ['<|call|>', '<|return|>'], configEos: ENDOFTEXT, ends: [ENDOFTEXT] },
  { title: 'nothing names an end', lacking: ['<|call|>', '<|return|>'], ends: [] },
];

async function endTokens(kind: SyntheticCheckpoint, { generation, configEos, lacking = [] }: Partial<Case>) {
  return withTemporaryFolder(async (folder) => {
    writeSyntheticCheckpoint(folder, kind, {
      config: (config) => {
        if (configEos !== undefined) config['eos_token_id'] = configEos;
      },
      tokenizer: (tokenizer) => {
        for (const token of tokenizer['added_tokens'] as { content: string }[]) {
          if (lacking.includes(token.content)) token.content = token.content.replace('<|', '<|another_');
        }
      },
    });
    if (generation !== undefined) writeFileSync(join(folder, 'generation_config.json'), JSON.stringify(generation));
    using snapshot = await openSnapshot(folder, { encoder: 'when-needed' });
    return [...snapshot.generation.eosTokenIds].sort((a, b) => a - b);
  });
}

describe('The tokens that end an answer', () => {
  for (const entry of cases) {
    it(`are harmony's, and those of the two files, where ${entry.title}`, async () => {
      assert.deepEqual(
        await endTokens(HUGGING_FACE, entry),
        [...entry.ends].sort((a, b) => a - b),
      );
    });
  }

  it('are the same in the original layout, whose config.json names none', async () => {
    const original: SyntheticCheckpoint = { layout: 'original', expertFormat: 'mxfp4' };
    assert.deepEqual(await endTokens(original, {}), [RETURN, CALL]);
    assert.deepEqual(await endTokens(original, { generation: { eos_token_id: [] } }), [RETURN, CALL]);
  });

  it('are what any of the three sources names, each once, and nothing else', () => {
    const id = fc.nat({ max: 30 });
    const field = fc.oneof(fc.constant(undefined), fc.constant(null), id, fc.array(id, { maxLength: 5 }));
    const special = fc.dictionary(fc.constantFrom('<|return|>', '<|call|>', '<|end|>', '<|start|>'), id);
    fc.assert(
      fc.property(field, fc.array(id, { maxLength: 3 }), special, fc.boolean(), (eos, configEos, tokens, absent) => {
        const specialTokens = new Map(Object.entries(tokens));
        const generation = absent
          ? defaultGenerationConfig(specialTokens)
          : parseGenerationConfig({ eos_token_id: eos, temperature: 0.5 }, 'x', 31);
        const result = withEndTokens(generation, specialTokens, configEos);
        const named = absent ? [] : [eos ?? []].flat();
        const harmony = ['<|return|>', '<|call|>'].flatMap((text) => specialTokens.get(text) ?? []);
        const expected = new Set([...named, ...harmony, ...configEos]);
        assert.equal(result.eosTokenIds.length, expected.size);
        assert.deepEqual(new Set(result.eosTokenIds), expected);
        assert.deepEqual({ ...result, eosTokenIds: [] }, { ...generation, eosTokenIds: [] });
      }),
    );
  });

  for (const eos of [1.5, '<|return|>', [RETURN, 'x'], {}, true]) {
    it(`refuses ${JSON.stringify(eos)} as config.json's eos_token_id`, () => {
      assert.throws(
        () => parseGptOssConfig({ ...syntheticConfig(HUGGING_FACE), eos_token_id: eos }, 'x'),
        (error: unknown) => error instanceof InvalidConfigError && error.field === 'eos_token_id',
      );
    });
  }
});
