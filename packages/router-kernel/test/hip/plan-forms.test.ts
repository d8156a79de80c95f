/** Every way in which the HIP kernels make a dispatch plan, whatever number of tokens each is chosen for. */

import assert from 'node:assert/strict';
import { HOST_COMPILER, hasHostCompiler } from '@switchyard/gpu/testing';
import { aloneGeometry, rowsGeometry, lastGeometry } from '../../src/hip/kernel/plan-geometry.ts';
import { specialize, specializeTo } from '../../src/hip/kernel/specialization.ts';
import { contractCases, runContractSuite } from '../../src/suite/index.ts';
import { Emulator } from './emulated-router.ts';
import type { ChooseForm } from './emulated-router.ts';

const TARGETS = [
  { vendor: 'amd', architecture: 'gfx942', waveSize: 64 },
  { vendor: 'amd', architecture: 'gfx1100', waveSize: 32 },
] as const;

/** What chooses a form, where one block cannot do all as well. */
const SHARES: Readonly<Record<string, ChooseForm>> = {
  'one block': (config, target, hint) => {
    const geometry = aloneGeometry(config, target, { tokens: hint.tokens, loadBytes: hint.alignment ?? 16 });
    return geometry === null
      ? specialize(config, target, hint)
      : specializeTo(config, target, geometry, hint.padding === true);
  },
  'the block that arrives last': (config, target, hint) => {
    const geometry = lastGeometry(config, { tokens: hint.tokens, loadBytes: hint.alignment ?? 16 });
    return specializeTo(config, target, geometry, hint.padding === true);
  },
  'a second launch': (config, target, hint) => {
    if (hint.tokens === 0) return specialize(config, target, hint);
    const geometry = rowsGeometry(config, target, { tokens: hint.tokens, loadBytes: hint.alignment ?? 16 });
    return specializeTo(config, target, geometry, hint.padding === true);
  },
};

for (const target of TARGETS) {
  describe(`the dispatch plan of the HIP kernels, emulated as ${target.architecture}`, function () {
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

    for (const [name, chooseForm] of Object.entries(SHARES)) {
      it(`is the contract's where ${name} makes it`, async () => {
        const cases = contractCases('smoke').filter(({ section }) => section === 'dispatch plans');
        const result = await runContractSuite(async (config) => emulator.createRouter(config, 0, chooseForm), { cases });
        assert.deepEqual(result.failures, []);
        assert.ok(result.rows > 1000, `only ${result.rows} rows were compared`);
      });
    }
  });
}
