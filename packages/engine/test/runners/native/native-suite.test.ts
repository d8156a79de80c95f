import assert from 'node:assert/strict';
import { openSnapshot } from '@switchyard/models';
import type { Snapshot } from '@switchyard/models';
import type { ModelRunner } from '../../../src/runners/runner.ts';
import { runnerCases, runRunnerCase } from '../../../src/runners/suite/index.ts';
import { NATIVE_SUITE, nativeSuiteRunner } from './native-suite.ts';
import { USABLE_LIBRARIES } from './usable-libraries.ts';

for (const library of USABLE_LIBRARIES) {
  describe(`the runner suite, ${library.file}`, function () {
    this.timeout(120_000);
    let snapshot: Snapshot;
    let runner: ModelRunner;

    before(async () => {
      snapshot = await openSnapshot();
      runner = await nativeSuiteRunner(snapshot, library);
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
