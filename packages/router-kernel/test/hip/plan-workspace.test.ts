import assert from 'node:assert/strict';
import type { KernelTarget } from '@switchyard/gpu';
import fc from 'fast-check';
import type { ResolvedRouterConfig } from '../../src/contract.ts';
import { mostPlanWorkspaceBytes, planWorkspaceBytes } from '../../src/hip/kernel/dispatch-plan-launches.ts';
import { publishedConfigs } from '../../src/hip/kernel/prebuilt-kernels.ts';
import { specialize } from '../../src/hip/kernel/specialization.ts';

const TARGETS: readonly KernelTarget[] = [
  { vendor: 'amd', architecture: 'gfx942', waveSize: 64 },
  { vendor: 'amd', architecture: 'gfx1100', waveSize: 32 },
  { vendor: 'nvidia', architecture: 'sm_90', waveSize: 32 },
];
const ALIGNMENTS = [1, 2, 4, 8, 16];

/** What a launch of T tokens takes, at the alignment with which it is most. */
function bytesOf(config: ResolvedRouterConfig, target: KernelTarget, tokens: number): number {
  const forms = ALIGNMENTS.map((alignment) => specialize(config, target, { tokens, alignment }));
  return Math.max(...forms.map((form) => planWorkspaceBytes(config, form, tokens)));
}

const configs = publishedConfigs().map(({ config }) => config);
const withPlan = configs.filter(({ dispatchPlan }) => dispatchPlan);

describe('the scratch memory of dispatch plans', () => {
  it('for T tokens is enough for any fewer', () => {
    const calls = fc.integer({ min: 1, max: 40_000 }).chain((most) => fc.tuple(fc.constant(most), fc.nat(most)));
    fc.assert(
      fc.property(
        fc.constantFrom(...withPlan),
        fc.constantFrom(...TARGETS),
        calls,
        (config, target, [most, tokens]) => {
          assert.ok(mostPlanWorkspaceBytes(config, target, most) >= bytesOf(config, target, tokens));
        },
      ),
      { numRuns: 300 },
    );
  });

  it('is what the number of them takes that takes most', () => {
    let fewerTakeMore = 0;
    for (const target of TARGETS) {
      for (const config of withPlan.filter(({ logitsDtype }) => logitsDtype === 'f32')) {
        let most = 0;
        for (let tokens = 1; tokens <= 1100; tokens++) {
          const own = bytesOf(config, target, tokens);
          most = Math.max(most, own);
          if (own < most) fewerTakeMore++;
          if (tokens % 50 !== 0) continue;
          assert.equal(mostPlanWorkspaceBytes(config, target, tokens), most, `${tokens} tokens`);
        }
      }
    }
    assert.ok(fewerTakeMore > 0);
  });

  it('is none where no plan is made', () => {
    for (const config of configs.filter(({ dispatchPlan }) => !dispatchPlan)) {
      for (const target of TARGETS) assert.equal(mostPlanWorkspaceBytes(config, target, 4096), 0);
    }
  });
});
