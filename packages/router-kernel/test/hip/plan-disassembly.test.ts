import assert from 'node:assert/strict';
import { compileOffline, findLlvm, readKernelResources } from '@switchyard/gpu/offline';
import type { RouterConfig } from '../../src/contract.ts';
import { placePlan } from '../../src/hip/kernel/dispatch-plan-launches.ts';
import { PREBUILT_TARGETS, PUBLISHED_SHAPES, sourceOfForms } from '../../src/hip/kernel/prebuilt-kernels.ts';
import { kernelSource } from '../../src/hip/kernel/source.ts';
import { specialize } from '../../src/hip/kernel/specialization.ts';
import { resolveRouterConfig } from '../../src/resolve-config.ts';

/** T for each way in which a plan is made, and for each number of lanes. */
const TOKENS = [1, 64, 128, 512, 4096, 16384];
/** What a block may have on every device. */
const SHARED_BYTES = 48 * 1024;

const planned = (config: RouterConfig): RouterConfig => ({ ...config, dispatchPlan: true, expertTiles: 32 });

describe('the AMD code of the dispatch plan', function () {
  this.timeout(300_000);
  before(function () {
    if (findLlvm() === null) {
      console.log('    skipped: LLVM 22 is not installed');
      this.skip();
    }
  });

  for (const { architecture, ...target } of PREBUILT_TARGETS) {
    it(`spills nothing on ${architecture}, and takes no more shared memory than a block has`, () => {
      const configs = PUBLISHED_SHAPES.map(({ config }) => resolveRouterConfig(planned(config)));
      const forms = new Map(
        configs.flatMap((config) =>
          TOKENS.map((tokens) => {
            const form = specialize(config, { architecture, ...target }, { tokens });
            return [form.symbol, form] as const;
          }),
        ),
      );
      const shares = new Set([...forms.values()].map(({ planShare }) => planShare));
      assert.deepEqual(shares, new Set(['alone', 'last', 'rows']));
      const routing = readKernelResources(compileOffline({ source: sourceOfForms([...forms.values()]), architecture }));
      const placing = configs.flatMap((config) => {
        const form = specialize(config, { architecture, ...target }, { tokens: 16384 });
        const { defines } = placePlan(config, { architecture, ...target }, form);
        return readKernelResources(compileOffline({ source: kernelSource('dispatch_plan'), defines, architecture }));
      });
      assert.equal(routing.length, forms.size);
      for (const { symbol, scratch, vgprSpills, sgprSpills, lds } of [...routing, ...placing]) {
        assert.deepEqual({ scratch, vgprSpills, sgprSpills }, { scratch: 0, vgprSpills: 0, sgprSpills: 0 }, symbol);
        assert.ok(lds <= SHARED_BYTES, `${symbol} takes ${lds} bytes`);
      }
    });
  }
});
