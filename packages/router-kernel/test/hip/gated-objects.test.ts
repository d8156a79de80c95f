/** What the AMD compiler makes of the kernels of gated routers. */

import assert from 'node:assert/strict';
import { compileOffline, disassemble, parseListing, readKernelResources } from '@switchyard/gpu/offline';
import { skipWithoutLlvm } from '../../../gpu/test/testing/skip-without.ts';
import type { GateShape } from '../../src/gate/gate-contract.ts';
import { gatedRouterForm, gateProjectionForm, MOST_FUSED_TOKENS } from '../../src/hip/kernel/gate-forms.ts';
import { PREBUILT_TARGETS, PUBLISHED_SHAPES } from '../../src/hip/kernel/prebuilt-kernels.ts';
import { kernelSource } from '../../src/hip/kernel/source.ts';
import { resolveRouterConfig } from '../../src/resolve-config.ts';

/** Of few, many and very many experts. */
const MODELS: readonly string[] = ['gpt-oss-120b', 'DeepSeek-V3, R1', 'Qwen3-Next-80B-A3B'];
/** What a block may have on every device. */
const SHARED_BYTES = 48 * 1024;

describe('the AMD code of gated routers', function () {
  this.timeout(300_000);
  before(skipWithoutLlvm);

  for (const target of PREBUILT_TARGETS.filter(({ architecture }) => /gfx942|gfx1100/.test(architecture))) {
    it(`spills nothing on ${target.architecture}, needs no scratch, and reads weights 16 bytes at a time`, () => {
      let compiled = 0;
      for (const { models, config, hiddenSizes } of PUBLISHED_SHAPES) {
        const [hiddenSize] = hiddenSizes;
        if (hiddenSize === undefined || !MODELS.includes(models)) continue;
        const router = resolveRouterConfig({ ...config, logitsDtype: 'f32', dispatchPlan: true, expertTiles: 32 });
        const shape: GateShape = { hiddenSize, hiddenDtype: 'bf16', hasGateBias: true, router };
        // Of one token, and of the most that the shape has a fused form for.
        const few = [1, 2, MOST_FUSED_TOKENS].map((tokens) => gatedRouterForm(shape, target, { tokens }));
        const fused = [few[0], few.findLast((form) => form !== null)];
        for (const form of [...fused, gateProjectionForm(shape, target)]) {
          assert.ok(form !== null && form !== undefined, models);
          const { source, defines, symbol } = form;
          const object = compileOffline({
            source: kernelSource(source),
            defines,
            architecture: target.architecture,
          });
          const [resources] = readKernelResources(object);
          assert.ok(resources !== undefined);
          const { scratch, vgprSpills, sgprSpills, lds } = resources;
          assert.deepEqual({ scratch, vgprSpills, sgprSpills }, { scratch: 0, vgprSpills: 0, sgprSpills: 0 }, symbol);
          assert.ok(lds <= SHARED_BYTES, `${symbol} takes ${lds} bytes`);
          const instructions = parseListing(disassemble(object)).get(symbol) ?? [];
          const wide = instructions.filter(({ mnemonic }) => /^global_load_(dwordx4|b128)$/.test(mnemonic));
          assert.ok(wide.length >= 2, `${symbol} has ${wide.length} wide loads`);
          compiled++;
        }
      }
      assert.equal(compiled, 3 * MODELS.length);
    });
  }
});
