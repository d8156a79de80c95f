import assert from 'node:assert/strict';
import { verifyRunner } from '../../src/verify/verify-runner.ts';

describe('verifying a runner', function () {
  this.timeout(300_000);

  it('runs every case of the suite, then measures, and tells of both', async () => {
    const heard: (string | null)[] = [];
    const report = await verifyRunner({
      runner: 'onnxruntime',
      device: undefined,
      shape: undefined,
      batches: [1, 2],
      context: 8,
      soakSteps: 2,
      onCase: ({ problem }) => heard.push(problem),
      onSpeed: () => {},
    });
    assert.equal(report.passed, true);
    assert.ok(report.suite.cases > 50);
    assert.equal(heard.length, report.suite.cases);
    assert.ok(heard.every((problem) => problem === null));
    assert.deepEqual(
      report.decode.map(({ model, sequences, context }) => [model, sequences, context]),
      [
        ['pocket-dictionary', 1, 8],
        ['pocket-dictionary', 2, 8],
      ],
    );
    for (const { medianMs, leastMs, mostMs, tokensPerSecond, sequences } of report.decode) {
      assert.ok(leastMs <= medianMs && medianMs <= mostMs);
      assert.equal(tokensPerSecond, (1000 * sequences) / medianMs);
    }
    assert.equal(report.gpu, null);
    assert.equal(report.router, null);
    assert.equal(report.versions['node'], process.versions.node);
    const { soak } = report;
    assert.ok(soak !== null && soak.steps >= 2 && soak.answers > 0 && soak.deviceGrowthBytes === null);
    assert.equal(soak.wrongAnswers, 0);
    assert.deepEqual(JSON.parse(JSON.stringify(report)), report, 'survives JSON');
  });
});
