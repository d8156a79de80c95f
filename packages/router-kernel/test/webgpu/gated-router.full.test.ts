import assert from 'node:assert/strict';
import { runGateSuite } from '../../src/suite/index.ts';
import { createWebGpuGatedRouter } from '../../src/webgpu/index.ts';
import { skipWithoutWebGpu } from './software-webgpu.ts';

describe('WebGPU gated router on SwiftShader, all of the smoke level', function () {
  this.timeout(900_000);
  before(skipWithoutWebGpu);

  for (const path of ['subgroups', 'workgroup'] as const) {
    it(`passes the gate suite, path ${path}`, async () => {
      const result = await runGateSuite((config) => createWebGpuGatedRouter(config, { software: true, path }), {
        level: 'smoke',
      });
      assert.deepEqual(result.failures, []);
    });
  }
});
