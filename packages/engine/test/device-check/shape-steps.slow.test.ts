import assert from 'node:assert/strict';
import type { Snapshot } from '@switchyard/models';
import { skipWithoutHostCompiler } from '../../../gpu/test/testing/skip-without.ts';
import { cutModel, runShapeSteps, shapeReference } from '../../src/device-check/shape-steps.ts';
import { randomWeights } from '../fixtures/random-weights.ts';
import { EMULATED_TARGETS, emulatedRunner } from '../runners/hip/emulated-runner.ts';
import { SMALL_CONFIG } from '../runners/hip/small-model.ts';

describe('the check of a shape, on a GPU that is emulated', function () {
  this.timeout(600_000);
  before(skipWithoutHostCompiler);

  /** A model of two layers; what is missing of a checkpoint here is its files. */
  const snapshot = {
    config: SMALL_CONFIG,
    weights: randomWeights(SMALL_CONFIG),
    tokenizer: { vocabularySize: SMALL_CONFIG.vocabularySize - 8 },
    tensorBytes: 0,
  } as Snapshot;

  it('passes with the kernels of that shape, and one layer of two', async () => {
    const cut = cutModel(snapshot);
    await using emulated = await emulatedRunner(cut, EMULATED_TARGETS[0]);
    const { cases, failure } = await runShapeSteps(emulated.runner, shapeReference(cut));
    assert.deepEqual([cases, failure], [4, null]);
  });

  it('fails with weights that arrive damaged', async () => {
    const cut = cutModel(snapshot);
    const [layer, ...others] = cut.weights.layers;
    assert.ok(layer !== undefined);
    const weight = { ...layer.output.weight, bytes: layer.output.weight.bytes.map((byte) => byte ^ 0x80) };
    const damaged = { ...layer, output: { ...layer.output, weight } };
    const loaded = { ...cut, weights: { ...cut.weights, layers: [damaged, ...others] } };
    await using emulated = await emulatedRunner(loaded, EMULATED_TARGETS[1]);
    const { failure } = await runShapeSteps(emulated.runner, shapeReference(cut));
    assert.match(failure?.found ?? '', /the logits of token 0 differ/);
  });
});
