import assert from 'node:assert/strict';
import { embeddedCheckpointPath, openSnapshot } from '@switchyard/models';
import type { Snapshot } from '@switchyard/models';
import type { LogitsRunner } from '../../../src/runners/logits-runner.ts';
import type { LayerRouting } from '../../../src/runners/runner.ts';
import { createOrtRunner } from '../../../src/runners/ort/index.ts';
import { argmax, reference, surprise } from '../../golden/reference.ts';
import type { ReferencePrompt } from '../../golden/reference.ts';

describe('ONNX Runtime runner against transformers', () => {
  let snapshot: Snapshot;
  let runner: LogitsRunner;

  before(async () => {
    snapshot = await openSnapshot(embeddedCheckpointPath());
    runner = await createOrtRunner({ snapshot, router: 'cpu' });
  });

  after(async () => {
    await runner.dispose();
    snapshot.dispose();
  });

  it('has prompts to compare with', () => {
    assert.equal(reference.length, 7);
  });

  reference.forEach((prompt, index) => {
    it(`prompt ${index}: routing, logits, likelihood and the greedy continuation`, async () => {
      const routings: LayerRouting[] = [];
      const sequence = runner.createSequence();
      runner.onRouting = (routing) => routings.push(routing);
      const [output] = await runner.forward([{ sequence, tokens: Int32Array.from(prompt.ids), logits: 'all' }]);
      runner.onRouting = null;
      assert.ok(output);
      checkRouting(routings, prompt);
      const row = (position: number): Float32Array =>
        output.logits.subarray(position * runner.vocabularySize, (position + 1) * runner.vocabularySize);

      const last = row(prompt.ids.length - 1);
      const best = Array.from(last.keys()).sort((a, b) => (last[b] as number) - (last[a] as number));
      assert.deepEqual(best.slice(0, 10), prompt.top_ids);
      prompt.top_ids.forEach((id, rank) => {
        assert.ok(Math.abs((last[id] as number) - (prompt.top_logits[rank] as number)) < 5e-3, `logit of token ${id}`);
      });

      const nll = prompt.ids.slice(1).reduce((sum, id, position) => sum + surprise(row(position), id), 0);
      assert.ok(Math.abs(nll / prompt.prompt_nll - 1) < 1e-3, `nll ${nll}, expected ${prompt.prompt_nll}`);

      assert.deepEqual(await continueGreedily(runner, sequence, argmax(last), prompt.greedy.length), prompt.greedy);
      runner.releaseSequence(sequence);
    });
  });
});

/** Ids equal; two may be swapped only where their weights differ by less than 1e-4. */
function checkRouting(routings: readonly LayerRouting[], prompt: ReferencePrompt): void {
  assert.equal(routings.length, prompt.routers.length);
  prompt.routers.forEach(({ experts, weights }, layer) => {
    const routing = routings[layer];
    assert.ok(routing);
    assert.equal(routing.layer, layer);
    const topK = experts[0]?.length ?? 0;
    assert.equal(routing.ids.length, prompt.ids.length * topK);
    experts.forEach((expected, token) => {
      expected.forEach((expert, k) => {
        const slot = token * topK + k;
        const where = `layer ${layer}, token ${token}, choice ${k}`;
        assert.ok(
          Math.abs((routing.weights[slot] as number) - (weights[token]?.[k] as number)) < 1e-4,
          `weight, ${where}`,
        );
        const found = routing.ids[slot] as number;
        if (found !== expert) {
          const other = expected.indexOf(found);
          const difference = Math.abs(
            (weights[token]?.[k] as number) - (weights[token]?.[other] ?? Number.POSITIVE_INFINITY),
          );
          assert.ok(difference < 1e-4, `expert ${found} where ${expert} was expected, ${where}`);
        }
      });
    });
  });
}

async function continueGreedily(
  runner: LogitsRunner,
  sequence: number,
  first: number,
  count: number,
): Promise<number[]> {
  const tokens = [first];
  while (tokens.length < count) {
    const [output] = await runner.forward([{ sequence, tokens: Int32Array.of(tokens.at(-1) as number) }]);
    assert.ok(output);
    tokens.push(argmax(output.logits));
  }
  return tokens;
}
