import assert from 'node:assert/strict';
import { contractCases } from '../../src/suite/index.ts';
import { skipWithoutWebGpu } from './software-webgpu.ts';
import { verifyInProcess } from './verify-process.ts';
import type { VerifyOutcome } from './verify-process.ts';

describe('router contract: webgpu on SwiftShader (quick)', function () {
  // Compiling some hundred shaders takes most of it.
  this.timeout(900_000);
  const runs = new Map<string, Promise<VerifyOutcome>>();

  before(skipWithoutWebGpu);
  before(() => {
    for (const path of ['subgroups', 'workgroup']) {
      runs.set(path, verifyInProcess(['--backend', 'webgpu', '--software', '--level', 'quick', '--path', path]));
    }
  });

  for (const path of ['subgroups', 'workgroup']) {
    it(`path ${path}: ${contractCases('quick').length} configurations`, async () => {
      const outcome = await runs.get(path);
      assert.ok(outcome !== undefined);
      const { code, report, err } = outcome;
      assert.equal(err, '');
      assert.ok(report !== null);
      assert.deepEqual(report['failures'], []);
      const { path: taken, mismatchedIds, mismatchedWeights, cases, passed } = report;
      assert.deepEqual(
        { path: taken, mismatchedIds, mismatchedWeights, cases, passed },
        { path, mismatchedIds: 0, mismatchedWeights: 0, cases: contractCases('quick').length, passed: true },
      );
      assert.match(String(report['device']), /swiftshader/i);
      assert.ok(Number(report['rows']) > 40_000, `${String(report['rows'])} rows`);
      assert.equal(code, 0);
    });
  }
});
