import assert from 'node:assert/strict';
import { contractCases, runContractSuite } from '../src/suite/index.ts';
import type { RouterFactory, SuiteLevel } from '../src/suite/index.ts';

/** Describes a backend by the contract suite: one test for each of its sections. */
export function describeRouterContract(name: string, factory: RouterFactory, level: SuiteLevel): void {
  describe(`router contract: ${name} (${level})`, () => {
    const cases = contractCases(level);
    for (const section of new Set(cases.map((contractCase) => contractCase.section))) {
      const inSection = cases.filter((contractCase) => contractCase.section === section);
      it(`${section}: ${inSection.length} configurations`, async function () {
        this.timeout(600_000);
        const result = await runContractSuite(factory, { cases: inSection });
        assert.deepEqual(result.failures, []);
        assert.equal(result.mismatchedIds, 0);
        assert.equal(result.mismatchedWeights, 0);
        assert.equal(result.cases, inSection.length);
        assert.ok(result.rows > 0, 'no row was compared');
      });
    }
  });
}
