/** Every way in which the HIP kernels make a dispatch plan, whatever number of tokens each is chosen for. */

import assert from 'node:assert/strict';
import { aloneGeometry, lastGeometry, rowsGeometry } from '../../src/hip/kernel/plan-geometry.ts';
import type { PlanGeometry } from '../../src/hip/kernel/plan-geometry.ts';
import { specialize, specializeTo } from '../../src/hip/kernel/specialization.ts';
import { runContractSuite } from '../../src/suite/index.ts';
import type { ContractCase } from '../../src/suite/index.ts';
import type { Emulator, PlanForm } from './emulated-router.ts';

/** Chooses forms of one way; where there is none for a call, as the package does. */
function formsOf(geometryOf: (...of: Parameters<typeof aloneGeometry>) => PlanGeometry | null): typeof specialize {
  return (config, target, hint) => {
    const geometry = geometryOf(config, target, { tokens: hint.tokens, loadBytes: hint.alignment ?? 16 });
    if (geometry === null) return specialize(config, target, hint);
    return specializeTo(config, target, geometry, hint.padding === true);
  };
}

const chooseRows = formsOf((config, target, launch) =>
  launch.tokens === 0 ? null : rowsGeometry(config, target, launch),
);

/** The ways, by who makes the plan. */
export const PLAN_FORMS: Readonly<Record<string, PlanForm>> = {
  'one block': { chooseForm: formsOf(aloneGeometry) },
  'the block that arrives last': { chooseForm: formsOf((config, _, launch) => lastGeometry(config, launch)) },
  'a second launch, a block for each of the first': { chooseForm: chooseRows },
  'a second launch of few blocks': { chooseForm: chooseRows, mostBlocks: 3 },
};

/** Compares the plans of an emulated router with the contract's. */
export async function checkPlanForm(emulator: Emulator, form: PlanForm, cases: readonly ContractCase[]): Promise<void> {
  const result = await runContractSuite(async (config) => emulator.createRouter(config, 0, form), { cases });
  assert.deepEqual(result.failures, []);
  assert.ok(result.rows > 1000, `only ${result.rows} rows were compared`);
}
