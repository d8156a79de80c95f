import assert from 'node:assert/strict';
import { contractCases } from '../../src/suite/index.ts';
import type { SuiteLevel } from '../../src/suite/index.ts';
import { skipWithoutWebGpu } from './software-webgpu.ts';
import { verifyInProcess } from './verify-process.ts';
import type { VerifyOutcome } from './verify-process.ts';

/**
 * Both paths at a level of the suite, side by side.
 *
 * @param shards into so many parts the cases are cut, of which each path takes another. Defaults to 1: both take all.
 */
export function describeSoftwareContract(level: SuiteLevel, leastRows: number, shards = 1): void {
  const shardOf = (path: string): number => (path === 'workgroup' ? shards : 1);
  const casesOf = (path: string): number =>
    contractCases(level).filter((_, index) => index % shards === shardOf(path) - 1).length;
  describe(`router contract: webgpu on SwiftShader (${level})`, function () {
    // Compiling some hundred shaders takes most of it.
    this.timeout(900_000);
    const runs = new Map<string, Promise<VerifyOutcome>>();

    before(skipWithoutWebGpu);
    before(() => {
      for (const path of ['subgroups', 'workgroup']) {
        const shard = `${shardOf(path)}/${shards}`;
        const args = ['--backend', 'webgpu', '--software', '--level', level, '--path', path, '--shard', shard];
        runs.set(path, verifyInProcess(args));
      }
    });

    for (const path of ['subgroups', 'workgroup']) {
      it(`path ${path}: ${casesOf(path)} configurations`, async () => {
        const outcome = await runs.get(path);
        assert.ok(outcome !== undefined);
        const { code, report, err } = outcome;
        assert.equal(err, '');
        assert.ok(report !== null);
        assert.deepEqual(report['failures'], []);
        const { path: taken, mismatchedIds, mismatchedWeights, cases, passed } = report;
        assert.deepEqual(
          { path: taken, mismatchedIds, mismatchedWeights, cases, passed },
          { path, mismatchedIds: 0, mismatchedWeights: 0, cases: casesOf(path), passed: true },
        );
        assert.match(String(report['device']), /swiftshader/i);
        assert.ok(Number(report['rows']) > leastRows, `${String(report['rows'])} rows`);
        assert.equal(code, 0);
      });
    }
  });
}
