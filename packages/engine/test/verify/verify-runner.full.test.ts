import assert from 'node:assert/strict';
import { verifyRunner } from '../../src/verify/verify-runner.ts';

describe('verifyRunner', function () {
  this.timeout(300_000);

  for (const runner of ['native', 'onnxruntime'] as const) {
    it(`finds ${runner} right on this machine, and measures it`, async () => {
      const problems: string[] = [];
      const report = await verifyRunner({
        runner,
        device: undefined,
        shape: undefined,
        batches: [1],
        context: 32,
        onCase: ({ name, problem }) => void (problem === null || problems.push(`${name}: ${problem}`)),
        onSpeed: () => {},
      });
      assert.deepEqual(problems, []);
      assert.equal(report.passed, true);
      assert.ok(report.suite.cases > 50);
      assert.deepEqual(
        [report.rounded, report.router, report.shape, report.soak, report.gpu],
        [null, null, null, null, null],
      );
      assert.deepEqual(
        report.decode.map(({ sequences, context }) => [sequences, context]),
        [[1, 32]],
      );
    });
  }
});
