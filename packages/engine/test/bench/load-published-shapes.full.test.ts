import assert from 'node:assert/strict';
import { embeddedCheckpointPath } from '@switchyard/models';
import { namesOf, runBench } from './run-bench.ts';

describe('the benchmark of loading a checkpoint', function () {
  this.timeout(180_000);

  it('gives a report in the documented form, of checked answers', async function () {
    if (process.platform !== 'linux') {
      console.log("      skipped: it reads Linux's account of a process's memory");
      this.skip();
    }
    const report = await runBench('load-published-shapes.ts', embeddedCheckpointPath(), '--precision', 'exact');
    assert.ok(namesOf(report).has('most resident memory of loading'));
    assert.deepEqual(
      [...new Set(report.series.map(({ contender }) => contender))],
      ['runner', 'stopping', 'generate', 'serve'],
    );
  });
});
