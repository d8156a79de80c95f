import assert from 'node:assert/strict';
import { embeddedCheckpointPath, openSnapshot } from '@switchyard/models';
import type { GptOssLayerWeights, Snapshot } from '@switchyard/models';
import { buildDispatchPlan } from '@switchyard/router-kernel';
import { referenceExperts } from '../../../src/reference/experts.ts';
import type { ExpertBlock, ExpertStep } from '../../../src/runners/ort/expert-block.ts';
import type { ExpertForm } from '../../../src/runners/ort/expert-form.ts';
import { Mxfp4ExpertBlock } from '../../../src/runners/ort/mxfp4/mxfp4-expert-block.ts';
import { SessionExperts } from '../../../src/runners/ort/session-experts.ts';
import { bf16Experts } from '../../fixtures/bf16-experts.ts';

const TOKENS = 9;
const clock = { compute: 0, experts: 0, router: 0 };
const options = { threads: 1, clock };

describe('expert block: dispatch, experts, combine', () => {
  let snapshot: Snapshot;
  let layer: GptOssLayerWeights;

  before(async () => {
    snapshot = await openSnapshot(embeddedCheckpointPath());
    layer = snapshot.weights.layers[1] as GptOssLayerWeights;
  });

  after(() => {
    snapshot.dispose();
  });

  async function sessionExperts(form: ExpertForm, weights = layer): Promise<SessionExperts> {
    const block = new SessionExperts(snapshot.config, form);
    await block.addLayer(weights, options);
    return block;
  }

  async function mxfp4Experts(): Promise<Mxfp4ExpertBlock> {
    const block = await Mxfp4ExpertBlock.create(snapshot.config, options);
    block.addLayer(layer);
    return block;
  }

  /** A step in which tokens 0 and 1 share all experts and expert 31 is in every token: experts of 0, 1, 2 and 9 rows. */
  function step(phase: ExpertStep['phase'], tokens = Array.from({ length: TOKENS }, (_, token) => token)): ExpertStep {
    const { hiddenSize, experts, expertsPerToken } = snapshot.config;
    const ids = tokens.flatMap((token) =>
      Array.from({ length: expertsPerToken }, (_, k) => (k === 0 ? 31 : (Math.max(token, 1) * 2 + k * 3) % 31)),
    );
    const input = tokens.flatMap((token) =>
      Array.from({ length: hiddenSize }, (_, index) => Math.sin((token * hiddenSize + index) * 0.7) * 3),
    );
    return {
      layer: 0,
      phase,
      input: Float32Array.from(input),
      residual: Float32Array.from(input, (value) => Math.cos(value)),
      ids: Int32Array.from(ids),
      weights: Float32Array.from(ids, (_, slot) => [0.4, 0.3, 0.2, 0.1][slot % 4] as number),
      plan: buildDispatchPlan(Int32Array.from(ids), experts),
    };
  }

  async function assertAgrees(block: ExpertBlock, phase: ExpertStep['phase'], bound: number): Promise<void> {
    const { input, residual, ids, weights } = step(phase);
    const found = await block.mix(step(phase));
    const mixture = referenceExperts(snapshot.config, layer, input, ids, weights);
    const expected = mixture.map((value, index) => value + (residual[index] as number));
    const largest = mixture.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    assert.equal(found.length, expected.length);
    found.forEach((value, index) => {
      assert.ok(Math.abs(value - (expected[index] as number)) <= bound * largest, `value ${index}`);
    });
    await block.release();
  }

  // Relative to the largest value. 8-bit blocks: activations as two int8 terms; 4-bit: rounded weights and one term.
  it('agrees with the definition in f64 on MXFP4, decode', async () =>
    assertAgrees(await mxfp4Experts(), 'decode', 3e-6));
  it('agrees with the definition in f64 on MXFP4, prefill', async () =>
    assertAgrees(await mxfp4Experts(), 'prefill', 3e-6));
  it('agrees with the definition in f64 as 8-bit blocks', async () =>
    assertAgrees(await sessionExperts('blocks8'), 'decode', 1e-4));
  it('agrees with the definition in f64 as 4-bit blocks', async () =>
    assertAgrees(await sessionExperts('blocks4'), 'decode', 0.15));
  it('agrees with the definition in f64 as f32, from bf16 experts of both layouts', async () => {
    for (const transposed of [false, true]) {
      await assertAgrees(await sessionExperts('f32', bf16Experts(layer, transposed)), 'prefill', 3e-6);
    }
  });

  const blocks: readonly [string, () => Promise<ExpertBlock>][] = [
    ['MXFP4', mxfp4Experts],
    ['8-bit blocks', () => sessionExperts('blocks8')],
    ['f32', () => sessionExperts('f32', bf16Experts(layer, false))],
  ];
  for (const [name, create] of blocks) {
    it(`gives a token the same bits whatever else is in a decode step: ${name}`, async () => {
      const { hiddenSize } = snapshot.config;
      const block = await create();
      const together = await block.mix(step('decode'));
      for (const tokens of [[0, 1], [4], [8, 2, 5]]) {
        const some = await block.mix(step('decode', tokens));
        tokens.forEach((token, row) => {
          assert.deepEqual(
            some.subarray(row * hiddenSize, (row + 1) * hiddenSize),
            together.subarray(token * hiddenSize, (token + 1) * hiddenSize),
            `token ${token} of ${tokens.join(', ')}`,
          );
        });
      }
      await block.release();
    });
  }
});
