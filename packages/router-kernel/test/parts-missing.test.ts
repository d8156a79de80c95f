/** The package as bundlers and platforms leave it: without the native module that its drivers call through. */

import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createRouterInProcess, installWithoutOptionalPackages, NO_GPU } from './webgpu/router-process.ts';

describe('a package without its native module', function () {
  this.timeout(120_000);
  let installed: Awaited<ReturnType<typeof installWithoutOptionalPackages>>;

  before(async () => {
    installed = await installWithoutOptionalPackages();
    await rm(join(dirname(installed.built), 'node_modules', 'koffi'), { recursive: true });
  });
  after(() => installed[Symbol.asyncDispose]());

  it('has no HIP backend, and says what did not load', async () => {
    const { error } = await createRouterInProcess({ backend: 'hip' }, NO_GPU, { built: installed.built });
    assert.deepEqual([error?.code, error?.backend], ['BACKEND_UNAVAILABLE', 'hip']);
    assert.match(
      error?.message ?? '',
      /^The modules of backend "hip" did not load · found .*koffi.*or use backend "cpu"$/,
    );
  });

  it('routes on the CPU where any backend will do', async () => {
    const { backend, ids, said } = await createRouterInProcess({}, NO_GPU, { built: installed.built });
    assert.deepEqual([backend, ids], ['cpu', [5, 7]]);
    assert.match(said[0] ?? '', /^Router backend hip passed over\. The modules/);
  });
});
