/** The HIP router on a real GPU, where there is one. */

import assert from 'node:assert/strict';
import { NoGpuError, openGpuDriver } from '@switchyard/gpu';
import type { GpuDriver } from '@switchyard/gpu';
import { DisposedError, InvalidArgumentError } from '../../src/errors.ts';
import { createHipRouter } from '../../src/hip/router.ts';
import { createCheckedHipRouter } from '../../src/hip/device-checks.ts';
import { runContractSuite } from '../../src/suite/index.ts';

describe('HIP router on a GPU', function () {
  this.timeout(600_000);
  let driver: GpuDriver;

  before(function () {
    try {
      driver = openGpuDriver();
    } catch (error) {
      if (!(error instanceof NoGpuError)) throw error;
      console.log(`      skipped: ${error.message}`);
      this.skip();
    }
  });

  after(() => driver?.dispose());

  it('passes the contract suite: route, eager enqueue and graph replay, with guarded outputs', async () => {
    const result = await runContractSuite((config) => createCheckedHipRouter(config, driver), { level: 'smoke' });
    assert.deepEqual(result.failures, []);
  });

  it('refuses to enqueue a shape that is not prepared, and misaligned outputs', async () => {
    const router = await createHipRouter({ experts: 128, topK: 4 }, { driver, prepare: 'none' });
    const stream = driver.createStream();
    const buffer = driver.allocate(1 << 20);
    const at = buffer.pointer;
    assert.throws(
      () => router.enqueue(stream, { tokens: 4, logits: at, weights: at + 4n, ids: at + 65_536n }),
      (error) => error instanceof InvalidArgumentError && error.argument === 'weights',
    );
    assert.throws(
      () => router.enqueue(stream, { tokens: 4, logits: at, weights: at, ids: at + 65_536n, rowCount: at }),
      (error) => error instanceof InvalidArgumentError && /prepare/.test(error.message),
    );
    buffer.free();
    stream.destroy();
    await router.dispose();
    assert.throws(() => router.enqueue(0n, { tokens: 0, logits: 0n, weights: 0n, ids: 0n }), DisposedError);
  });
});
