import assert from 'node:assert/strict';
import { InvalidConfigError } from '../src/errors.ts';
import { defaultGenerationConfig, parseGenerationConfig } from '../src/generation-config.ts';

describe('generation_config.json', () => {
  it('reads what an engine uses', () => {
    const json = { bos_token_id: 1, pad_token_id: 0, eos_token_id: [2, 3], do_sample: true, temperature: 0.7 };
    assert.deepEqual(parseGenerationConfig({ ...json, top_p: 1, top_k: 50, transformers_version: 'x' }, 'x', 4), {
      eosTokenIds: [2, 3],
      padTokenId: 0,
      bosTokenId: 1,
      doSample: true,
      temperature: 0.7,
      topP: 1,
      topK: 50,
    });
  });

  it('takes one end token as well as several, and no limit for top_k 0', () => {
    const parsed = parseGenerationConfig({ eos_token_id: 2, top_k: 0 }, 'x', 4);
    assert.deepEqual(parsed.eosTokenIds, [2]);
    assert.equal(parsed.topK, null);
    assert.equal(parsed.bosTokenId, null);
  });

  it('reads numbers that no token has as none, and -1 for top_k as no limit', () => {
    for (const none of [-1, 4, 2 ** 40]) {
      const json = { eos_token_id: [1, none], pad_token_id: none, bos_token_id: none, top_k: -1 };
      const { eosTokenIds, padTokenId, bosTokenId, topK } = parseGenerationConfig(json, 'x', 4);
      assert.deepEqual([eosTokenIds, padTokenId, bosTokenId, topK], [[1], null, null, null]);
    }
  });

  const invalid: readonly [string, unknown][] = [
    ['eos_token_id', 'end'],
    ['eos_token_id', [1, 1.5]],
    ['pad_token_id', 'pad'],
    ['bos_token_id', 0.5],
    ['do_sample', 'yes'],
    ['temperature', '1'],
    ['temperature', -1],
    ['top_p', 1.01],
    ['top_p', 0],
    ['top_k', -2],
    ['top_k', 2.5],
  ];
  for (const [field, value] of invalid) {
    it(`refuses ${field} ${JSON.stringify(value)}`, () => {
      assert.throws(
        () => parseGenerationConfig({ [field]: value }, 'x', 4),
        (error: unknown) => error instanceof InvalidConfigError && error.field === field,
      );
    });
  }

  it('falls back on the stop tokens of harmony', () => {
    const special = new Map([
      ['<|return|>', 7],
      ['<|call|>', 8],
    ]);
    const { eosTokenIds, padTokenId } = defaultGenerationConfig(special);
    assert.deepEqual(eosTokenIds, [7, 8]);
    assert.equal(padTokenId, null);
  });
});
