import { skipWithoutHostCompiler } from '../../../gpu/test/testing/skip-without.ts';
import { contractCases, runContractSuite } from '../../src/suite/index.ts';
import assert from 'node:assert/strict';
import { EMULATED_TARGETS, Emulator } from './emulated-router.ts';

/** T that the geometry is chosen for: each has its own number of lanes per token. */
const TOKEN_HINTS = [128, 4096, 65536];

/** Most of the time goes into compiling each configuration's kernel: every third of them, and of the quick level every fifth. */
const EVERY = process.env['SWITCHYARD_TEST_LEVEL'] === 'full' ? 3 : 5;
const CASES = contractCases('smoke').filter((_, index) => index % EVERY === 0);

for (const target of EMULATED_TARGETS) {
  describe(`the HIP kernel source, emulated as ${target.architecture}`, function () {
    this.timeout(600_000);
    let emulator: Emulator;

    before(function () {
      skipWithoutHostCompiler.call(this);
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
