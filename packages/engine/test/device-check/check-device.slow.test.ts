import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { emulatedGpu } from '@switchyard/gpu/testing';
import { embeddedCheckpointPath } from '@switchyard/models';
import { skipWithoutHostCompiler } from '../../../gpu/test/testing/skip-without.ts';
import { checkDevice } from '../../src/device-check/check-device.ts';
import type { FromCheck } from '../../src/device-check/check-protocol.ts';
import { EMULATED_TARGETS } from '../runners/hip/emulated-runner.ts';

describe('the checks of a device, on one that is emulated', function () {
  this.timeout(1_200_000);
  before(skipWithoutHostCompiler);

  it('load the first layer of a checkpoint from its files, tell what they find, and give everything back', async () => {
    const cacheFolder = mkdtempSync(join(tmpdir(), 'switchyard-check-device-'));
    const gpu = emulatedGpu({ target: EMULATED_TARGETS[0] });
    const told: FromCheck[] = [];
    try {
      await checkDevice(
        { device: undefined, activations: 'bf16', checks: ['shape'], path: embeddedCheckpointPath() },
        {
          driver: gpu.driver,
          tell: async (message) => void told.push(message),
          runnerOptions: { compiler: gpu.compiler, cacheFolder, longestPassMs: 600_000 },
        },
      );
      assert.deepEqual(
        told.map((message) => (message.type === 'phase' ? message.phase : message.type)),
        ['ready', 'device', 'checked'],
      );
      const last = told.at(-1);
      assert.ok(last?.type === 'checked');
      assert.deepEqual([last.check, last.result.cases, last.result.failure], ['shape', 4, null]);
      assert.equal(gpu.allocatedBytes, 0);
    } finally {
      gpu.dispose();
      rmSync(cacheFolder, { recursive: true, force: true });
    }
  });
});
