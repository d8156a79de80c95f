/** The package as bundlers and platforms leave it: without its native module, without its kernels. */

import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { CompileCache } from '../src/hip/compile-cache.ts';
import type { KernelLibrary as Library } from '../src/hip/kernel-library.ts';
import { STAND_IN_COMPILER, standInGpu } from './hip/stand-in-gpu.ts';
import { createRouterInProcess, installWithoutOptionalPackages, NO_GPU } from './webgpu/router-process.ts';

describe('a package without its native module', function () {
  this.timeout(120_000);
  let installed: Awaited<ReturnType<typeof installWithoutOptionalPackages>>;

  before(async () => {
    installed = await installWithoutOptionalPackages();
    await rm(join(dirname(installed.source), 'node_modules'), { recursive: true });
  });
  after(() => installed[Symbol.asyncDispose]());

  it('has no HIP backend, and says what did not load', async () => {
    const { error } = await createRouterInProcess({ backend: 'hip' }, NO_GPU, installed.source);
    assert.deepEqual([error?.code, error?.backend], ['BACKEND_UNAVAILABLE', 'hip']);
    assert.match(error?.message ?? '', /^The modules of backend "hip" did not load: .*koffi.*or use backend "cpu"\.$/);
  });

  it('routes on the CPU where any backend will do', async () => {
    const { backend, ids, said } = await createRouterInProcess({}, NO_GPU, installed.source);
    assert.deepEqual([backend, ids], ['cpu', [5, 7]]);
    assert.match(said[0] ?? '', /^Router backend hip passed over\. The modules/);
  });
});

describe('a package without its kernels', () => {
  let installed: Awaited<ReturnType<typeof installWithoutOptionalPackages>>;

  before(async () => {
    installed = await installWithoutOptionalPackages();
  });
  after(() => installed[Symbol.asyncDispose]());

  it('compiles what it has the text of, warns once, and names the text that it lacks', async () => {
    const entry = pathToFileURL(join(installed.source, 'hip', 'kernel-library.ts')).href;
    const { KernelLibrary } = (await import(entry)) as { readonly KernelLibrary: typeof Library };
    const warnings: string[] = [];
    const logger = { warn: (message: string): void => void warnings.push(message) };
    const cache = new CompileCache({ folder: join(installed.source, 'cache') });
    const driver = standInGpu({ experts: 8, topK: 2 });
    const library = new KernelLibrary(driver, { cache, compiler: STAND_IN_COMPILER, logger });
    assert.equal((await library.loadText('one', 'text', {}, 'one')).name, 'one');
    assert.equal((await library.loadText('two', 'text', {}, 'two')).name, 'two');
    assert.deepEqual(
      warnings.map((message) => /ahead of time cannot be read/.test(message)),
      [true],
    );
    await assert.rejects(library.load({ source: 'topk_gating_softmax', defines: {} }, 'route'), (error) => {
      assert.equal(Reflect.get(Object(error), 'code'), 'KERNEL_COMPILE_FAILED');
      assert.match(String(error), /source of the kernel topk_gating_softmax cannot be read · .*ENOENT/);
      return true;
    });
  });
});
