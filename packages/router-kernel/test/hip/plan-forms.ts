/** Every way in which the HIP kernels make a dispatch plan, whatever number of tokens each is chosen for. */

import assert from 'node:assert/strict';
import { aloneGeometry, lastGeometry, rowsGeometry } from '../../src/hip/kernel/plan-geometry.ts';
import { specialize, specializeTo } from '../../src/hip/kernel/specialization.ts';
import { runContractSuite } from '../../src/suite/index.ts';
import type { ContractCase } from '../../src/suite/index.ts';
import type { Emulator, PlanForm } from './emulated-router.ts';

const chooseRows: typeof specialize = (config, target, hint) => {
  if (hint.tokens === 0) return specialize(config, target, hint);
  const geometry = rowsGeometry(config, target, { tokens: hint.tokens, loadBytes: hint.alignment ?? 16 });
  return specializeTo(config, target, geometry, hint.padding === true);
};

/** The ways, by who makes the plan. */
export const PLAN_FORMS: Readonly<Record<string, PlanForm>> = {
  // Where it can: else as the package chooses.
  'one block': {
    chooseForm: (config, target, hint) => {
      const geometry = aloneGeometry(config, target, { tokens: hint.tokens, loadBytes: hint.alignment ?? 16 });
      return geometry === null
        ? specialize(config, target, hint)
        : specializeTo(config, target, geometry, hint.padding === true);
    },
  },
  'the block that arrives last': {
    chooseForm: (config, target, hint) => {
      const geometry = lastGeometry(config, { tokens: hint.tokens, loadBytes: hint.alignment ?? 16 });
      return specializeTo(config, target, geometry, hint.padding === true);
    },
  },
  'a second launch, a block for each of the first': { chooseForm: chooseRows },
  'a second launch of few blocks': { chooseForm: chooseRows, mostBlocks: 3 },
};

/** Compares the plans of an emulated router with the contract's. */
export async function checkPlanForm(emulator: Emulator, form: PlanForm, cases: readonly ContractCase[]): Promise<void> {
  const result = await runContractSuite(async (config) => emulator.createRouter(config, 0, form), { cases });
  assert.deepEqual(result.failures, []);
  assert.ok(result.rows > 1000, `only ${result.rows} rows were compared`);
}
