import assert from 'node:assert/strict';
import { contractCases } from '../../src/suite/index.ts';
import { createWebGpuRouter } from '../../src/webgpu/index.ts';
import { skipWithoutWebGpu } from './software-webgpu.ts';

/** The reference allows either of two choice scores within rounding; the paths may not differ even there. */
describe('WebGPU paths', function () {
  this.timeout(300_000);
  before(skipWithoutWebGpu);

  // Without a bias and groups the contract has one answer alone, which its suite asks of both paths.
  const cases = contractCases('smoke').filter(({ config }) => config.correctionBias !== undefined || config.groups);
  for (const section of new Set(cases.map((contractCase) => contractCase.section))) {
    const inSection = cases.filter((contractCase) => contractCase.section === section);
    it(`give identical ids and plans: ${section}, ${inSection.length} configurations`, async () => {
      let slots = 0;
      for (const { name, config, calls } of inSection) {
        await using bySubgroups = await createWebGpuRouter(config, { software: true, path: 'subgroups' });
        await using byMemory = await createWebGpuRouter(config, { software: true, path: 'workgroup' });
        assert.deepEqual([bySubgroups.path, byMemory.path], ['subgroups', 'workgroup']);
        for (const call of calls) {
          const { logits, options } = call.makeInput();
          const one = await bySubgroups.route(logits, options);
          const other = await byMemory.route(logits, options);
          assert.deepEqual(one.ids, other.ids, `${name}, ${call.name}`);
          assert.deepEqual(one.dispatchPlan, other.dispatchPlan, `${name}, ${call.name}`);
          slots += one.ids.length;
        }
      }
      assert.ok(slots > 500, `${slots} slots compared`);
    });
  }
});
