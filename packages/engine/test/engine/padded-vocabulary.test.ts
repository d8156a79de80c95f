import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { openSnapshot } from '@switchyard/models';
import { Engine } from '../../src/engine.ts';
import { InvalidRequestError } from '../../src/errors.ts';
import type { GenerateRequest } from '../../src/request.ts';
import { createOrtRunner } from '../../src/runners/ort/index.ts';
import { indexOfLargest } from '../../src/sampling/largest.ts';
import { writePaddedCheckpoint } from '../fixtures/padded-checkpoint.ts';

const TOKENS = 4096;
const LOGITS = 5000;
const KV_CACHE_BYTES = 64 * 2 ** 20;

const question: GenerateRequest = {
  messages: [{ role: 'user', content: 'What is a lighthouse?' }],
  currentDate: '2026-11-23',
  maxTokens: 24,
};
const requests: Readonly<Record<string, GenerateRequest>> = {
  'the likeliest token': question,
  'a drawn token': { ...question, temperature: 1, seed: 7 },
  'a token of the nucleus': { ...question, temperature: 1.5, seed: 8, topP: 0.9, topK: 50, minP: 0.01 },
  'penalties and bias': { ...question, presencePenalty: 2, frequencyPenalty: 2, logitBias: { 4095: 3 } },
  'a repetition penalty that punishes every token': { ...question, repetitionPenalty: 10 },
  'a grammar': { ...question, responseFormat: { type: 'json-object' } },
  'plain text': { prompt: 'A lighthouse is', temperature: 0.7, seed: 9, maxTokens: 24 },
};

describe('a model with more logits than tokens', () => {
  let folder: string;
  let padded: Engine;
  let embedded: Engine;
  before(async () => {
    folder = await writePaddedCheckpoint(LOGITS);
    padded = await Engine.load(folder, { router: 'cpu', kvCacheBytes: KV_CACHE_BYTES });
    embedded = await Engine.load(undefined, { router: 'cpu', kvCacheBytes: KV_CACHE_BYTES });
  });
  after(async () => {
    await padded.dispose();
    await embedded.dispose();
    await rm(folder, { recursive: true });
  });

  it('thinks an id without a token the likeliest, so that leaving it out is not for nothing', async () => {
    using snapshot = await openSnapshot(folder);
    await using runner = await createOrtRunner({ snapshot, router: 'cpu' });
    const tokens = Int32Array.from(padded.tokenize(question));
    const [output] = await runner.forward([{ sequence: runner.createSequence(), tokens }]);
    assert.ok(output !== undefined && output.logits.length === LOGITS);
    assert.ok(indexOfLargest(output.logits) >= TOKENS);
  });

  for (const [name, request] of Object.entries(requests)) {
    it(`gives the answer that it gives without them: ${name}`, async () => {
      const [found, expected] = await Promise.all([padded.complete(request), embedded.complete(request)]);
      assert.deepEqual(found.ids, expected.ids);
      assert.equal(found.text, expected.text);
    });
  }

  it('gives log-probabilities among the tokens, and scores', async () => {
    const request = { ...question, logprobs: 20 };
    const [found, expected] = await Promise.all([padded.complete(request), embedded.complete(request)]);
    assert.ok(expected.logprobs !== undefined && expected.logprobs.length > 0);
    for (const [i, { id, logprob, top }] of expected.logprobs.entries()) {
      const token = found.logprobs?.[i];
      assert.equal(token?.id, id);
      assert.ok(Math.abs(token.logprob - logprob) < 1e-4, `${token.logprob} for ${logprob}`);
      assert.equal(token.top.length, top.length);
      for (const rival of token.top) assert.ok(rival.id < TOKENS);
    }
    const text = [{ text: 'A lighthouse is a tower.' }];
    const [[score], [same]] = await Promise.all([padded.score(text), embedded.score(text)]);
    assert.ok(score !== undefined && same !== undefined);
    assert.ok(Math.abs(score.nll - same.nll) < 1e-3, `${score.nll} for ${same.nll}`);
  });

  it('refuses ids without a token wherever a request names them', async () => {
    for (const id of [TOKENS, LOGITS - 1, LOGITS, -1]) {
      const refused = (field: string) => (error: unknown) => {
        assert.ok(error instanceof InvalidRequestError);
        assert.equal(error.field, field);
        assert.match(error.message, /0 to 4095/);
        return true;
      };
      assert.throws(() => padded.generate({ promptIds: [1, id] }), refused('promptIds[1]'));
      assert.throws(() => padded.generate({ ...question, stopTokenIds: [id] }), refused('stopTokenIds[0]'));
      assert.throws(() => padded.generate({ ...question, logitBias: { [id]: 1 } }), refused('logitBias'));
      assert.throws(() => padded.tokenize({ promptIds: [id] }), refused('promptIds[0]'));
      assert.throws(() => padded.detokenize([1, 2, id]), refused('ids[2]'));
      await assert.rejects(padded.score([{ text: 'a' }, { ids: [1, id] }]), refused('inputs[1].ids[1]'));
    }
    // A bad input of several starts none of them.
    assert.deepEqual([(await padded.stats()).running, (await padded.stats()).waiting], [0, 0]);
  });
});
