import assert from 'node:assert/strict';
import { type Snapshot, openSnapshot } from '@switchyard/models';
import { skipWithoutHostCompiler } from '../../../../gpu/test/testing/skip-without.ts';
import { embeddedGoldenPrompts } from '../../../src/device-check/golden-prompts.ts';
import { EXACT_TOLERANCES, ROUNDED_TOLERANCES } from '../../../src/device-check/golden-steps.ts';
import { FEWEST_TILE_TOKENS } from '../../../src/runners/hip/plan-passes.ts';
import { routingShapeOf } from '../../../src/runners/routing-record.ts';
import { sampledOnHost } from '../../../src/runners/sampled-on-host.ts';
import { SuiteRun, pieceCases } from '../../../src/runners/suite/index.ts';
import { EMULATED_TARGETS, NVIDIA_TARGET, emulatedRunner } from './emulated-runner.ts';

/** The longest golden prompt. In its first layer two experts weigh the same to 5e-7, of which one is chosen. */
const CLOSEST_PROMPT = 6;

describe('the GPU runner, emulated: the golden prompt whose experts are chosen most closely, as a device is checked', function () {
  this.timeout(1_200_000);
  let snapshot: Snapshot;
  before(async function () {
    skipWithoutHostCompiler.call(this);
    snapshot = await openSnapshot();
  });
  after(() => snapshot?.dispose());

  for (const target of [EMULATED_TARGETS[0], NVIDIA_TARGET]) {
    for (const [activations, tolerances] of [
      ['bf16', ROUNDED_TOLERANCES],
      ['exact', EXACT_TOLERANCES],
    ] as const) {
      it(`${target.architecture}: experts, best logits and likelihood in pieces, activations ${activations}`, async () => {
        const golden = await embeddedGoldenPrompts();
        await using emulated = await emulatedRunner(snapshot, target, { activations });
        const { config, tokenizer } = snapshot;
        const runner = sampledOnHost(emulated.runner, {
          routing: routingShapeOf(config),
          tokens: tokenizer.vocabularySize,
        });
        const suite = new SuiteRun(runner, { golden, tolerances, window: config.slidingWindow });
        try {
          const closest = pieceCases(golden, FEWEST_TILE_TOKENS - 1)[CLOSEST_PROMPT];
          assert.ok(closest !== undefined);
          await closest.run(suite);
        } finally {
          await suite.release();
        }
      });
    }
  }
});
