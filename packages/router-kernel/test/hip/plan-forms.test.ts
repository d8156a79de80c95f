import { skipWithoutHostCompiler } from '../../../gpu/test/testing/skip-without.ts';
import { contractCases } from '../../src/suite/index.ts';
import { Emulator } from './emulated-router.ts';
import { checkPlanForm, PLAN_FORMS } from './plan-forms.ts';

describe('the dispatch plan of the HIP kernels, emulated as gfx942', function () {
  this.timeout(600_000);
  let emulator: Emulator;

  before(function () {
    skipWithoutHostCompiler.call(this);
    emulator = new Emulator({ vendor: 'amd', architecture: 'gfx942', waveSize: 64 });
  });
  after(() => emulator?.dispose());

  for (const [name, form] of Object.entries(PLAN_FORMS)) {
    it(`is the contract's where ${name} makes it`, async () => {
      // Neither E nor K is a power of two, ids are 64-bit, and there are tiles.
      const cases = contractCases('smoke').filter(
        ({ section, config }) =>
          section === 'dispatch plans' && config.experts === 60 && config.expertRange === undefined,
      );
      await checkPlanForm(emulator, form, cases);
    });
  }
});
