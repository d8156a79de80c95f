import { skipWithoutHostCompiler } from '../../../gpu/test/testing/skip-without.ts';
import { contractCases } from '../../src/suite/index.ts';
import { EMULATED_TARGETS, Emulator } from './emulated-router.ts';
import { checkPlanForm, PLAN_FORMS } from './plan-forms.ts';

for (const target of EMULATED_TARGETS) {
  describe(`dispatch plans of every kind, emulated as ${target.architecture}`, function () {
    this.timeout(1_800_000);
    let emulator: Emulator;

    before(function () {
      skipWithoutHostCompiler.call(this);
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
