import assert from 'node:assert/strict';
import { openSnapshot } from '@switchyard/models';
import type { Snapshot } from '@switchyard/models';
import { createNativeRunner } from '../../../src/runners/native/index.ts';
import type { ModelRunner } from '../../../src/runners/runner.ts';
import { sampledOnHost } from '../../../src/runners/sampled-on-host.ts';
import { runnerCases, runRunnerCase } from '../../../src/runners/suite/index.ts';
import type { RunnerSuiteOptions } from '../../../src/runners/suite/index.ts';
import { goldenPrompts } from '../../golden/golden-prompts.ts';
import { USABLE_LIBRARIES } from './usable-libraries.ts';

/** Decode computes experts' activations with 15 bits, prefill in f32. */
const NATIVE_SUITE: RunnerSuiteOptions = {
  golden: goldenPrompts,
  window: 128,
  tolerances: { betweenKinds: 5e-3, logit: 5e-3, nll: 1e-4, routerWeight: 1e-4 },
};

for (const library of USABLE_LIBRARIES) {
  describe(`the runner suite, ${library.file}`, function () {
    this.timeout(120_000);
    let snapshot: Snapshot;
    let runner: ModelRunner;

    before(async () => {
      snapshot = await openSnapshot();
      const { layers, experts, expertsPerToken } = snapshot.config;
      runner = sampledOnHost(await createNativeRunner({ snapshot, library, kvCacheBytes: 2 ** 28 }), {
        routing: { layers, experts, topK: expertsPerToken },
      });
    });
    after(async () => {
      await runner.dispose();
      snapshot.dispose();
    });

    for (const suiteCase of runnerCases(NATIVE_SUITE)) {
      it(`${suiteCase.section}: ${suiteCase.name}`, async () => {
        assert.equal(await runRunnerCase(runner, suiteCase, NATIVE_SUITE), null);
      });
    }
  });
}
