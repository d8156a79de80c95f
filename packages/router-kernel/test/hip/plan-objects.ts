/** What the AMD compiler makes of the kernels that make dispatch plans. */

import assert from 'node:assert/strict';
import type { KernelTarget } from '@switchyard/gpu';
import { compileOffline, readKernelResources } from '@switchyard/gpu/offline';
import { placePlan } from '../../src/hip/kernel/dispatch-plan-launches.ts';
import { PUBLISHED_SHAPES, sourceOfForms } from '../../src/hip/kernel/prebuilt-kernels.ts';
import type { PublishedShape } from '../../src/hip/kernel/prebuilt-kernels.ts';
import { kernelSource } from '../../src/hip/kernel/source.ts';
import { specialize } from '../../src/hip/kernel/specialization.ts';
import { resolveRouterConfig } from '../../src/resolve-config.ts';

/** T for each way in which a plan is made, and for each number of lanes. */
const TOKENS = [1, 64, 128, 512, 4096, 16384];
/** What a block may have on every device. */
const SHARED_BYTES = 48 * 1024;

/** Compiles every form of some shapes with a plan and tiles: none may spill, or take more shared memory than there is. */
export function checkPlanObjects(target: KernelTarget, shapes: readonly PublishedShape[] = PUBLISHED_SHAPES): void {
  const { architecture } = target;
  const configs = shapes.map(({ config }) => resolveRouterConfig({ ...config, dispatchPlan: true, expertTiles: 32 }));
  const forms = configs.flatMap((config) => TOKENS.map((tokens) => specialize(config, target, { tokens })));
  const distinct = new Map(forms.map((form) => [form.symbol, form]));
  assert.deepEqual(new Set(forms.map(({ planShare }) => planShare)), new Set(['alone', 'last', 'rows']));
  const routing = readKernelResources(compileOffline({ source: sourceOfForms([...distinct.values()]), architecture }));
  const placing = configs.flatMap((config) => {
    const { defines } = placePlan(config, target, specialize(config, target, { tokens: 16384 }));
    return readKernelResources(compileOffline({ source: kernelSource('dispatch_plan'), defines, architecture }));
  });
  assert.equal(routing.length, distinct.size);
  for (const { symbol, scratch, vgprSpills, sgprSpills, lds } of [...routing, ...placing]) {
    assert.deepEqual({ scratch, vgprSpills, sgprSpills }, { scratch: 0, vgprSpills: 0, sgprSpills: 0 }, symbol);
    assert.ok(lds <= SHARED_BYTES, `${symbol} takes ${lds} bytes`);
  }
}
