import assert from 'node:assert/strict';
import { createRouterInProcess, installWithoutOptionalPackages, NO_GPU, swiftShaderAlone } from './router-process.ts';
import { skipWithoutWebGpu } from './software-webgpu.ts';

const BEST = [5, 7];

describe('WebGPU as one of the backends', function () {
  this.timeout(120_000);

  describe('without the package webgpu', () => {
    let installed: Awaited<ReturnType<typeof installWithoutOptionalPackages>>;

    before(async () => {
      installed = await installWithoutOptionalPackages();
    });
    after(() => installed[Symbol.asyncDispose]());

    it('is unavailable, and says what to install', async () => {
      const { error } = await createRouterInProcess({ backend: 'webgpu' }, NO_GPU, installed);
      assert.deepEqual(
        [error?.name, error?.code, error?.backend],
        ['BackendUnavailableError', 'BACKEND_UNAVAILABLE', 'webgpu'],
      );
      assert.match(error?.message ?? '', /^The package "webgpu" did not load: Cannot find package 'webgpu'/);
      assert.match(error?.message ?? '', /Install it \(npm install webgpu\), or use backend "cpu"\.$/);
      assert.equal(error?.tried?.length, 1);
    });

    it('is passed over by auto, which says why and takes the CPU', async () => {
      const { backend, ids, said } = await createRouterInProcess({}, NO_GPU, installed);
      assert.deepEqual([backend, ids], ['cpu', BEST]);
      assert.equal(said.length, 2);
      assert.match(said[0] ?? '', /^Router backend hip passed over\. \S/);
      assert.match(said[1] ?? '', /^Router backend webgpu passed over\. The package "webgpu" did not load/);
    });
  });

  describe('on Linux without a Vulkan driver', () => {
    before(function () {
      if (process.platform === 'linux') return;
      console.log(`      skipped: WebGPU does not go through Vulkan on ${process.platform}`);
      this.skip();
    });

    it('is unavailable, and says what to install', async () => {
      const { error } = await createRouterInProcess({ backend: 'webgpu' }, NO_GPU);
      assert.deepEqual([error?.code, error?.backend], ['BACKEND_UNAVAILABLE', 'webgpu']);
      assert.match(error?.message ?? '', /found no adapter · install a GPU driver with Vulkan.*or use backend "cpu"$/);
    });

    it('is passed over by auto, which says why, takes the CPU and writes nothing to standard error', async () => {
      const { backend, ids, said, err } = await createRouterInProcess({ backend: 'auto' }, NO_GPU);
      assert.deepEqual([backend, ids, err], ['cpu', BEST, '']);
      assert.deepEqual(
        said.map((message) => /^Router backend (\w+) passed over\. ./.exec(message)?.[1]),
        ['hip', 'webgpu'],
      );
      assert.match(said[1] ?? '', /found no adapter/);
    });

    it('is not replaced where it was asked for by name, in the call or in the environment', async () => {
      const { error } = await createRouterInProcess({}, { ...NO_GPU, SWITCHYARD_ROUTER: 'webgpu' });
      assert.deepEqual([error?.code, error?.backend], ['BACKEND_UNAVAILABLE', 'webgpu']);
    });
  });

  describe('with a Vulkan driver', () => {
    let environment: Readonly<Record<string, string>> = {};
    before(skipWithoutWebGpu);
    before(async () => {
      environment = await swiftShaderAlone();
    });

    it('is taken by auto once HIP was passed over, where it is a GPU', async () => {
      const disguise = { vendor: 'amd', architecture: 'rdna-3', device: '', description: '', isFallbackAdapter: false };
      const { backend, device, ids, said } = await createRouterInProcess({}, environment, { disguise });
      assert.deepEqual([backend, device, ids], ['webgpu', 'rdna-3 (amd)', BEST]);
      assert.equal(said.length, 1);
      assert.match(said[0] ?? '', /^Router backend hip passed over\. \S/);
    });

    it('is passed over by auto where it computes on the CPU, before Dawn is asked and after', async () => {
      const software = { vendor: 'mesa', architecture: '', device: '', description: 'llvmpipe (LLVM 17)' };
      for (const [disguise, name] of [
        [null, 'SwiftShader Device (Subzero)'],
        [software, 'llvmpipe (LLVM 17) (mesa)'],
      ] as const) {
        const { backend, ids, said, err } = await createRouterInProcess({}, environment, { disguise });
        assert.deepEqual([backend, ids, err], ['cpu', BEST, '']);
        assert.equal(said.length, 2);
        assert.ok(
          said[1]?.startsWith(`Router backend webgpu passed over. WebGPU has no GPU here, only software: ${name}. `),
          said[1],
        );
      }
    });

    it('is overruled by SWITCHYARD_ROUTER, unless the call names a backend', async () => {
      const overruled = await createRouterInProcess({}, { ...environment, SWITCHYARD_ROUTER: 'cpu' });
      assert.deepEqual([overruled.backend, overruled.said], ['cpu', []]);
      const named = await createRouterInProcess({ backend: 'webgpu' }, { ...environment, SWITCHYARD_ROUTER: 'cpu' });
      assert.deepEqual([named.backend, named.said], ['webgpu', []]);
      const chosen = await createRouterInProcess({}, { ...environment, SWITCHYARD_ROUTER: 'webgpu' });
      assert.deepEqual([chosen.backend, chosen.said, chosen.ids], ['webgpu', [], BEST]);
    });
  });
});
