import assert from 'node:assert/strict';
import { openSnapshot } from '@switchyard/models';
import type { Snapshot } from '@switchyard/models';
import { forward } from '../../src/reference/forward.ts';
import type { ReferenceRouting } from '../../src/reference/router.ts';
import { reference } from '../golden/reference.ts';
import type { ReferencePrompt } from '../golden/reference.ts';

/** Of the quick level, a prompt within the attention's window and one that is longer. */
const PROMPTS = process.env['SWITCHYARD_TEST_LEVEL'] === 'full' ? [...reference.keys()] : [0, 5];
/** What transformers' f32 and this f64 may differ by. */
const TOLERANCE = 1e-4;

describe('the model in f64', function () {
  this.timeout(120_000);
  let snapshot: Snapshot;

  before(async () => {
    snapshot = await openSnapshot();
  });
  after(() => snapshot.dispose());

  for (const index of PROMPTS) {
    it(`agrees with transformers on prompt ${index}: every expert, the best logits, the likelihood`, () => {
      const prompt = reference[index];
      assert.ok(prompt !== undefined);
      const { logits, routing } = forward(snapshot, prompt.ids);
      const { vocabularySize } = snapshot.config;
      const row = (position: number): Float64Array =>
        logits.subarray(position * vocabularySize, (position + 1) * vocabularySize);
      checkRouting(routing, prompt);
      const last = row(prompt.ids.length - 1);
      const best = Array.from(last.keys()).sort((a, b) => (last[b] as number) - (last[a] as number));
      assert.deepEqual(best.slice(0, 10), prompt.top_ids);
      assert.equal(best[0], prompt.greedy[0]);
      prompt.top_ids.forEach((id, rank) => {
        const difference = Math.abs((last[id] as number) - (prompt.top_logits[rank] as number));
        assert.ok(difference < TOLERANCE, `logit of token ${id} differs by ${difference}`);
      });
      const nll = prompt.ids.slice(1).reduce((sum, id, position) => sum + surprise(row(position), id), 0);
      assert.ok(Math.abs(nll / prompt.prompt_nll - 1) < TOLERANCE, `nll ${nll}, expected ${prompt.prompt_nll}`);
    });
  }

  it('shows its values stage by stage, the same as without being looked at', () => {
    const [prompt] = reference;
    assert.ok(prompt);
    const ids = prompt.ids.slice(0, 3);
    const seen: string[] = [];
    const observed = forward(snapshot, ids, (stage, layer, values) => {
      seen.push(`${layer} ${stage} ${values.length}`);
    });
    assert.deepEqual(observed.logits, forward(snapshot, ids).logits);
    const { layers, hiddenSize, attentionHeads, keyValueHeads, headDim, experts, vocabularySize } = snapshot.config;
    const expected = Array.from({ length: layers }, (_, layer) => [
      `${layer} query ${3 * attentionHeads * headDim}`,
      `${layer} key ${3 * keyValueHeads * headDim}`,
      `${layer} value ${3 * keyValueHeads * headDim}`,
      `${layer} attended ${3 * attentionHeads * headDim}`,
      `${layer} attentionResidual ${3 * hiddenSize}`,
      `${layer} expertInput ${3 * hiddenSize}`,
      `${layer} routerLogits ${3 * experts}`,
      `${layer} experts ${3 * hiddenSize}`,
      `${layer} residual ${3 * hiddenSize}`,
    ]).flat();
    assert.deepEqual(seen, [`-1 embedding ${3 * hiddenSize}`, ...expected, `-1 logits ${3 * vocabularySize}`]);
  });
});

/** Ids equal; two may be swapped only where their weights differ by less than the tolerance. */
function checkRouting(routing: readonly ReferenceRouting[], prompt: ReferencePrompt): void {
  assert.equal(routing.length, prompt.routers.length);
  prompt.routers.forEach(({ experts, weights }, layer) => {
    experts.forEach((expected, token) => {
      expected.forEach((expert, k) => {
        const slot = token * expected.length + k;
        const where = `layer ${layer}, token ${token}, choice ${k}`;
        const weight = weights[token]?.[k] as number;
        assert.ok(Math.abs((routing[layer]?.weights[slot] as number) - weight) < TOLERANCE, `weight, ${where}`);
        const found = routing[layer]?.ids[slot] as number;
        if (found === expert) return;
        const rival = weights[token]?.[expected.indexOf(found)] ?? Number.POSITIVE_INFINITY;
        assert.ok(Math.abs(weight - rival) < TOLERANCE, `expert ${found} where ${expert} was expected, ${where}`);
      });
    });
  });
}

/** -log softmax(logits)[token]. */
function surprise(logits: Float64Array, token: number): number {
  const largest = logits.reduce((most, logit) => Math.max(most, logit), Number.NEGATIVE_INFINITY);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
  return largest + Math.log(sum) - (logits[token] as number);
}
