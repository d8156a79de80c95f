import assert from 'node:assert/strict';
import { HOST_COMPILER, hasHostCompiler } from '@switchyard/gpu/testing';
import { openSnapshot } from '@switchyard/models';
import type { Snapshot } from '@switchyard/models';
import { argmax, reference } from '../../golden/reference.ts';
import { EMULATED_TARGETS, emulatedRunner } from './emulated-runner.ts';

/** Tokens of the prompt that are computed, and of the answer. */
const ANSWER_TOKENS = 3;

describe('the GPU runner, emulated: the embedded model answers as the reference', function () {
  this.timeout(900_000);
  let snapshot: Snapshot;
  before(async function () {
    if (!hasHostCompiler()) {
      console.log(`    skipped: ${HOST_COMPILER} is not installed`);
      this.skip();
    }
    snapshot = await openSnapshot();
  });
  after(() => snapshot?.dispose());

  for (const target of EMULATED_TARGETS) {
    it(`${target.architecture}: experts of every layer, best logits, greedy answer`, async () => {
      const [prompt] = [...reference].sort((a, b) => a.ids.length - b.ids.length);
      assert.ok(prompt !== undefined);
      await using emulated = await emulatedRunner(snapshot, target);
      const { runner } = emulated;
      const sequence = runner.createSequence();
      const chosen: number[][] = [];
      runner.onRouting = ({ ids }) => chosen.push([...ids]);
      let [{ logits } = { logits: new Float32Array(0) }] = await runner.forward([
        { sequence, tokens: Int32Array.from(prompt.ids) },
      ]);
      runner.onRouting = null;
      prompt.routers.forEach(({ experts }, layer) => assert.deepEqual(chosen[layer]?.slice(0, experts.flat().length), experts.flat()));
      prompt.top_ids.forEach((id, rank) => {
        const difference = Math.abs((logits[id] as number) - (prompt.top_logits[rank] as number));
        assert.ok(difference <= 1e-3, `the logit of token ${id} differs by ${difference}`);
      });
      const answer: number[] = [];
      while (answer.length < ANSWER_TOKENS) {
        const token = argmax(logits);
        answer.push(token);
        const [next] = await runner.forward([{ sequence, tokens: Int32Array.of(token) }]);
        logits = next?.logits ?? logits;
      }
      assert.deepEqual(answer, prompt.greedy.slice(0, ANSWER_TOKENS));
    });
  }
});
