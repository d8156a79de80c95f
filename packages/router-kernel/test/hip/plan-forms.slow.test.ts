import { HOST_COMPILER, hasHostCompiler } from '@switchyard/gpu/testing';
import { contractCases } from '../../src/suite/index.ts';
import { Emulator } from './emulated-router.ts';
import { checkPlanForm, PLAN_FORMS } from './plan-forms.ts';

const TARGETS = [
  { vendor: 'amd', architecture: 'gfx942', waveSize: 64 },
  { vendor: 'amd', architecture: 'gfx1100', waveSize: 32 },
] as const;

for (const target of TARGETS) {
  describe(`dispatch plans of every kind, emulated as ${target.architecture}`, function () {
    this.timeout(1_800_000);
    let emulator: Emulator;

    before(function () {
      if (!hasHostCompiler()) {
        console.log(`    skipped: ${HOST_COMPILER} is not installed`);
        this.skip();
      }
      emulator = new Emulator(target);
    });
    after(() => emulator?.dispose());

    for (const [name, form] of Object.entries(PLAN_FORMS)) {
      it(`are the contract's where ${name} makes them`, async () => {
        const cases = contractCases('smoke').filter(({ section }) => section === 'dispatch plans');
        await checkPlanForm(emulator, form, cases);
      });
    }
  });
}
