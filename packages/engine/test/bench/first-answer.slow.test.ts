import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { registryFault } from '../install/packed-packages.ts';
import { namesOf, runBench } from './run-bench.ts';

describe("the benchmark of a person's first answer, in its smallest run", function () {
  this.timeout(600_000);

  it('gives a report in the documented form, of an answer out of an empty folder', async function () {
    const fault = await registryFault(tmpdir());
    if (fault !== null) {
      console.log(`      skipped: npm's registry cannot be reached (${fault})`);
      this.skip();
    }
    const report = await runBench('first-answer.ts', '--quick');
    assert.deepEqual([...namesOf(report)], ['from an empty folder to the answer']);
  });
});
