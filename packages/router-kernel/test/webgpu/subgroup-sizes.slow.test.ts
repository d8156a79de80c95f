import assert from 'node:assert/strict';
import { contractCases, runContractSuite } from '../../src/suite/index.ts';
import { createWebGpuRouter } from '../../src/webgpu/index.ts';
import { emulateSubgroups } from './emulated-subgroups.ts';
import { ObservedDevice } from './observed-device.ts';
import { requestSoftwareDevice, skipWithoutWebGpu } from './software-webgpu.ts';

/** The smallest subgroup that a device promises, and the one that it forms. SwiftShader itself has 4 and 4. */
const SIZES: readonly (readonly [least: number, actual: number])[] = [
  [4, 4],
  [4, 128],
  [8, 8],
  [8, 32],
  [16, 16],
  [32, 32],
  [32, 64],
  [64, 64],
  [128, 128],
];

describe('WebGPU router contract, subgroups emulated in workgroup memory', function () {
  this.timeout(300_000);
  let real: GPUDevice;

  before(skipWithoutWebGpu);
  before(async () => {
    real = await requestSoftwareDevice([]);
  });
  after(() => real.destroy());

  SIZES.forEach(([least, actual], turn) => {
    // Together the sizes take every case of the level.
    const cases = contractCases('smoke').filter((_, index) => index % SIZES.length === turn);
    it(`${actual} invocations where at least ${least} are promised: ${cases.length} configurations`, async () => {
      let rewritten = 0;
      const { device } = new ObservedDevice(real, {
        features: ['subgroups'],
        adapterInfo: { subgroupMinSize: least, subgroupMaxSize: actual },
        rewriteCode: (code) => {
          const emulated = emulateSubgroups(code, { size: actual, laneFlip: turn % 4 });
          if (emulated !== code && code.includes('subgroupShuffleXor')) rewritten++;
          return emulated;
        },
      });
      const result = await runContractSuite(
        async (config) => {
          const router = await createWebGpuRouter(config, { device });
          assert.equal(router.path, 'subgroups');
          return router;
        },
        { cases },
      );
      assert.deepEqual(result.failures, []);
      assert.deepEqual([result.mismatchedIds, result.mismatchedWeights, result.cases], [0, 0, cases.length]);
      assert.ok(result.rows > 100, `${result.rows} rows`);
      assert.ok(rewritten > cases.length, `${rewritten} shaders exchanged keys in subgroups`);
    });
  });

  it('finds the fault of a device that forms smaller subgroups than it promises', async () => {
    const { device } = new ObservedDevice(real, {
      features: ['subgroups'],
      adapterInfo: { subgroupMinSize: 32, subgroupMaxSize: 32 },
      rewriteCode: (code) => emulateSubgroups(code, { size: 4, laneFlip: 0 }),
    });
    const cases = contractCases('smoke').filter(({ section }) => section === 'token counts');
    const { mismatchedIds } = await runContractSuite((config) => createWebGpuRouter(config, { device }), { cases });
    assert.ok(mismatchedIds > 0);
  });
});
