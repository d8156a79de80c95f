import assert from 'node:assert/strict';
import { openSnapshot } from '@switchyard/models';
import type { Snapshot } from '@switchyard/models';
import { skipWithoutHostCompiler } from '../../../../gpu/test/testing/skip-without.ts';
import { forward } from '../../../src/reference/forward.ts';
import { keptHeads } from '../../../src/reference/kept-heads.ts';
import { KV_SCALED_ELEMENTS } from '../../../src/runners/kv-bytes.ts';
import { argmax, reference } from '../../golden/reference.ts';
import { EMULATED_TARGETS, emulatedRunner } from './emulated-runner.ts';
import { errorOf } from './small-model.ts';

/** Tokens of the prompt that are computed: emulated, a token of six layers takes seconds. */
const PROMPT_TOKENS = 5;
/** Decoded after them, each as a graph. */
const ANSWER_TOKENS = 2;
/** Of the root mean square of the logits: f32 against f64 through six layers, keys and values kept alike. */
const TOLERANCE = 2e-5;

describe('the GPU runner, emulated: the embedded model against the f64 reference', function () {
  this.timeout(1_200_000);
  let snapshot: Snapshot;
  before(async function () {
    skipWithoutHostCompiler.call(this);
    snapshot = await openSnapshot();
  });
  after(() => snapshot?.dispose());

  for (const target of EMULATED_TARGETS) {
    it(`${target.architecture}: logits of every position, experts of every layer, greedy tokens`, async () => {
      const ids = (reference[0]?.ids ?? []).slice(0, PROMPT_TOKENS);
      await using emulated = await emulatedRunner(snapshot, target);
      const { runner } = emulated;
      const sequence = runner.createSequence();
      const chosen: number[][] = [];
      runner.onRouting = ({ layer, ids: experts }) => (chosen[layer] ??= []).push(...experts);
      const [prompt] = await runner.forward([{ sequence, tokens: Int32Array.from(ids), logits: 'all' }]);
      const rows = [...(prompt?.logits ?? [])];
      const width = runner.vocabularySize;
      let token = argmax(Float32Array.from(rows.slice(-width)));
      for (let step = 0; step < ANSWER_TOKENS; step++) {
        ids.push(token);
        const copy = runner.forkSequence(sequence, runner.length(sequence));
        assert.ok(copy !== null);
        const tokens = Int32Array.of(token);
        const [own, largest] = await runner.forward([
          { sequence, tokens, logits: 'last' },
          { sequence: copy, tokens, logits: 'largest' },
        ]);
        runner.releaseSequence(copy);
        rows.push(...(own?.logits ?? []));
        token = argmax(own?.logits ?? new Float32Array(0));
        assert.equal(largest?.token, token, 'the device chooses as the host');
      }
      const { headDim } = snapshot.config;
      const expected = forward(snapshot, ids, undefined, (rows) => keptHeads(rows, headDim, KV_SCALED_ELEMENTS));
      const { largest, scale } = errorOf(rows, expected.logits);
      assert.equal(rows.length, expected.logits.length);
      assert.ok(largest <= TOLERANCE * scale, `logits are off by ${largest} where they are about ${scale}`);
      expected.routing.forEach(({ ids: experts }, layer) => {
        // The copy's rows follow its source's: each step of decoding has two.
        const topK = snapshot.config.expertsPerToken;
        const found = chosen[layer] ?? [];
        const own = found.filter((_, slot) => {
          const row = Math.floor(slot / topK);
          return row < PROMPT_TOKENS || (row - PROMPT_TOKENS) % 2 === 0;
        });
        assert.deepEqual(own, [...experts], `experts of layer ${layer}`);
      });
    });
  }
});
