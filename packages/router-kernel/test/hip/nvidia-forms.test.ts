/** The kernel forms that only NVIDIA's GPUs run, on the CPU: those that search f32 rows by value, above all. */

import assert from 'node:assert/strict';
import { skipWithoutHostCompiler } from '../../../gpu/test/testing/skip-without.ts';
import { contractCases, runContractSuite } from '../../src/suite/index.ts';
import { Emulator } from './emulated-router.ts';

const WAVES_OF_32 = { vendor: 'amd', architecture: 'gfx1100', waveSize: 32 } as const;
const H100 = { vendor: 'nvidia', architecture: 'sm_90', waveSize: 32 } as const;

/** T that the geometry is chosen for: a wave a token, chunks by 8 lanes, chunks by 4. */
const TOKEN_HINTS = process.env['SWITCHYARD_TEST_LEVEL'] === 'full' ? [1, 4096, 65_536] : [1];

describe("the HIP kernel source in the forms for NVIDIA's GPUs, emulated", function () {
  this.timeout(600_000);
  let emulator: Emulator;

  before(function () {
    skipWithoutHostCompiler.call(this);
    emulator = new Emulator(WAVES_OF_32, H100);
  });
  after(() => emulator?.dispose());

  for (const tokens of TOKEN_HINTS) {
    it(`orders equal logits of f32 rows, in the forms of T = ${tokens}`, async () => {
      const cases = contractCases('smoke').filter(({ section }) => section === 'equal logits');
      assert.ok(cases.length >= 3);
      const result = await runContractSuite(async (config) => emulator.createRouter(config, tokens), { cases });
      assert.deepEqual(result.failures, []);
    });
  }
});
