import assert from 'node:assert/strict';
import { openSnapshot } from '@switchyard/models';
import type { Snapshot } from '@switchyard/models';
import type { ModelRunner } from '../../src/runners/runner.ts';
import { runnerCases, runRunnerCase } from '../../src/runners/suite/index.ts';
import { F32_SUITE, ortRunner } from './suite-of-embedded-model.ts';

describe('the runner suite, ONNX Runtime', function () {
  this.timeout(120_000);
  let snapshot: Snapshot;
  let runner: ModelRunner;

  before(async () => {
    snapshot = await openSnapshot();
    runner = await ortRunner(snapshot);
  });
  after(async () => {
    await runner.dispose();
    snapshot.dispose();
  });

  for (const suiteCase of runnerCases(F32_SUITE)) {
    it(`${suiteCase.section}: ${suiteCase.name}`, async () => {
      assert.equal(await runRunnerCase(runner, suiteCase, F32_SUITE), null);
    });
  }
});
