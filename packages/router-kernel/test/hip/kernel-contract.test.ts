import { HOST_COMPILER, hasHostCompiler } from '@switchyard/gpu/testing';
import { contractCases, runContractSuite } from '../../src/suite/index.ts';
import assert from 'node:assert/strict';
import { Emulator } from './emulated-router.ts';

const TARGETS = [
  { vendor: 'amd', architecture: 'gfx942', waveSize: 64 },
  { vendor: 'amd', architecture: 'gfx1100', waveSize: 32 },
] as const;

/** T that the geometry is chosen for: each has its own number of lanes per token. */
const TOKEN_HINTS = [128, 4096, 65536];

/** Most of the time goes into compiling each configuration's kernel: every second of them, and of the quick level every fifth. */
const EVERY = process.env['SWITCHYARD_TEST_LEVEL'] === 'full' ? 2 : 5;
const CASES = contractCases('smoke').filter((_, index) => index % EVERY === 0);

for (const target of TARGETS) {
  describe(`the HIP kernel source, emulated as ${target.architecture}`, function () {
    this.timeout(600_000);
    let emulator: Emulator;

    before(function () {
      if (!hasHostCompiler()) {
        console.log(`    skipped: ${HOST_COMPILER} is not installed`);
        this.skip();
      }
      emulator = new Emulator(target);
    });
    after(() => emulator?.dispose());

    it('computes the contract', async () => {
      let turn = 0;
      const result = await runContractSuite(
        async (config) => emulator.createRouter(config, TOKEN_HINTS[turn++ % TOKEN_HINTS.length] ?? 128),
        { cases: CASES },
      );
      assert.deepEqual(result.failures, []);
      assert.ok(result.rows > 1000 / EVERY, `only ${result.rows} rows were compared`);
    });
  });
}
