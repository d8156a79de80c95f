/** The HIP gated router on an emulated GPU: the fused kernel and the separate ones, whole with their host code. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { emulatedGpu } from '@switchyard/gpu/testing';
import type { EmulatedGpu } from '@switchyard/gpu/testing';
import { skipWithoutHostCompiler } from '../../../gpu/test/testing/skip-without.ts';
import { DisposedError, InvalidArgumentError } from '../../src/errors.ts';
import type { GatedRouterConfig } from '../../src/gate/gate-contract.ts';
import { createHipGatedRouter } from '../../src/hip/gated-router.ts';
import type { DeviceGatedRouteBuffers } from '../../src/hip/device-gated-route.ts';
import { createCheckedHipGatedRouter } from '../../src/hip/device-checks.ts';
import { gateCases, runGateSuite } from '../../src/suite/index.ts';
import { EMULATED_TARGETS } from './emulated-router.ts';

/** Most of the time goes into compiling each configuration's kernels: the quick level leaves out what repeats. */
const IS_FULL = process.env['SWITCHYARD_TEST_LEVEL'] === 'full';
const CASES = gateCases('smoke').filter(
  ({ section, config }, index) => IS_FULL || (section !== 'gate shapes' && (index % 2 === 1 || config.experts === 12)),
);
const LAYOUT = gateCases('smoke').filter(({ section }) => section === 'gate layout');
const SMALL: GatedRouterConfig = {
  experts: 8,
  topK: 2,
  hiddenSize: 16,
  gateWeight: new Uint16Array(128).fill(0x3f80),
  dispatchPlan: true,
};

for (const target of EMULATED_TARGETS) {
  describe(`HIP gated router, emulated as ${target.architecture}`, function () {
    this.timeout(600_000);
    let gpu: EmulatedGpu;
    let cacheFolder: string;

    before(function () {
      skipWithoutHostCompiler.call(this);
      gpu = emulatedGpu({ target });
      cacheFolder = mkdtempSync(join(tmpdir(), 'gated-router-'));
    });
    after(() => {
      gpu?.dispose();
      if (cacheFolder !== undefined) rmSync(cacheFolder, { recursive: true, force: true });
    });

    it('passes the gate suite', async () => {
      const { driver, compiler } = gpu;
      const options = { driver, compiler, cacheFolder, prepare: 'none' } as const;
      const result = await runGateSuite((config) => createHipGatedRouter(config, options), { cases: CASES });
      assert.deepEqual(result.failures, []);
      assert.ok(result.rows > 80, `only ${result.rows} rows were compared`);
      assert.equal(gpu.allocatedBytes, 0);
    });

    it('leaves words and arrivals as it finds them, launched eagerly and from graphs, with guarded outputs', async () => {
      const { driver, compiler } = gpu;
      const result = await runGateSuite(
        (config) => createCheckedHipGatedRouter(config, driver, { compiler, cacheFolder }),
        { cases: LAYOUT },
      );
      assert.deepEqual(result.failures, []);
      assert.ok(result.rows > 80, `only ${result.rows} rows were compared`);
    });

    it('refuses what it cannot launch', async () => {
      const { driver, compiler } = gpu;
      const router = await createHipGatedRouter(SMALL, { driver, compiler, cacheFolder, prepare: 'none' });
      await router.prepare({ tokens: 1 });
      const at = 4096n;
      const buffers: DeviceGatedRouteBuffers = {
        tokens: 1,
        hidden: at,
        logits: at,
        weights: at,
        ids: at,
        workspace: at,
        dispatchPlan: { expertOffsets: at, sortedSlots: at },
      };
      const refusals: readonly (readonly [change: object, argument: string])[] = [
        [{ hidden: 0n }, 'hidden'],
        [{ hidden: 4104n }, 'hidden'],
        [{ logits: 4100n }, 'logits'],
        [{ workspace: 0n }, 'workspace'],
        [{ weights: 0n }, 'weights'],
        [{ rowStride: 8 }, 'rowStride'],
        [{ rowStride: 20 }, 'rowStride'],
        [{ dispatchPlan: undefined }, 'dispatchPlan'],
        [{ tokens: -1 }, 'tokens'],
        // Not prepared.
        [{ tokens: 3 }, 'tokens'],
        [{ rowCount: at }, 'tokens'],
        [{ logit: at }, 'logit'],
      ];
      for (const [change, argument] of refusals) {
        assert.throws(
          () => router.enqueue(1n, { ...buffers, ...change }),
          (error) => error instanceof InvalidArgumentError && error.argument === argument,
          JSON.stringify(argument),
        );
      }
      await router.dispose();
      await router.dispose();
      assert.throws(() => router.enqueue(1n, buffers), DisposedError);
      await assert.rejects(router.route(new Uint16Array(16)), DisposedError);
      assert.equal(gpu.allocatedBytes, 0);
    });
  });
}
