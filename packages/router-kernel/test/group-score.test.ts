import assert from 'node:assert/strict';
import { skipWithoutHostCompiler } from '../../gpu/test/testing/skip-without.ts';
import { createCpuRouter } from '../src/cpu/index.ts';
import { referenceRoute } from '../src/reference.ts';
import { contractCases, runContractSuite } from '../src/suite/index.ts';
import type { RouterFactory } from '../src/suite/index.ts';
import { createWebGpuRouter } from '../src/webgpu/index.ts';
import { EMULATED_TARGETS, Emulator } from './hip/emulated-router.ts';
import { skipWithoutWebGpu } from './webgpu/software-webgpu.ts';

/** The suite's cases of groups that rank by their best, of which the quick level of a backend's own test has few. */
const CASES = contractCases('quick').filter(({ config }) => config.groupScore === 'max');

async function assertContract(factory: RouterFactory, cases = CASES): Promise<void> {
  const result = await runContractSuite(factory, { cases });
  assert.deepEqual(result.failures, []);
  assert.equal(result.cases, cases.length);
  assert.ok(result.rows >= 80 * cases.length, `only ${result.rows} rows were compared`);
}

const IS_FULL = process.env['SWITCHYARD_TEST_LEVEL'] === 'full';
/** T that the geometry is chosen for. */
const TOKEN_HINT = 128;
/** Each kernel takes a second to compile. */
const TARGETS = IS_FULL ? EMULATED_TARGETS : EMULATED_TARGETS.slice(0, 1);

describe('expert groups that rank by their best', function () {
  this.timeout(300_000);

  it('are told from those that rank by a sum of two, where a group has two', () => {
    assert.ok(CASES.length >= 6);
    for (const { name, config, calls } of CASES) {
      const differing = calls.filter((call) => {
        const { logits, options } = call.makeInput();
        const byBest = referenceRoute(config, logits, options).ids;
        const bySum = referenceRoute({ ...config, groupScore: 'top2-sum' }, logits, options).ids;
        return byBest.some((id, index) => id !== bySum[index]);
      });
      assert.equal(differing.length > 0, config.groups !== config.experts, name);
    }
  });

  it('keep the contract on the CPU', () => assertContract(async (config) => createCpuRouter(config)));

  for (const target of TARGETS) {
    it(`keep the contract in the HIP kernel, emulated as ${target.architecture}`, async function () {
      skipWithoutHostCompiler.call(this);
      const emulator = new Emulator(target);
      try {
        await assertContract(async (config) => emulator.createRouter(config, TOKEN_HINT));
      } finally {
        emulator.dispose();
      }
    });
  }

  describe('on WebGPU', () => {
    before(skipWithoutWebGpu);

    for (const [turn, path] of (['subgroups', 'workgroup'] as const).entries()) {
      // Each pipeline takes SwiftShader a second: of the quick level, every configuration on one of the paths.
      const cases = CASES.filter((_, index) => IS_FULL || index % 2 === turn);
      it(`keep the contract: path ${path}`, () =>
        assertContract((config) => createWebGpuRouter(config, { software: true, path }), cases));
    }
  });
});
