import assert from 'node:assert/strict';
import { checkRouteArguments, resolveRouterConfig } from '../../src/resolve-config.ts';
import type { Logits, RouteOptions, RouterConfig } from '../../src/contract.ts';
import { compareOutput } from '../../src/suite/index.ts';
import { createWebGpuRouter } from '../../src/webgpu/index.ts';
import { canSearchChunks, chooseGeometry, logitsPerVector } from '../../src/webgpu/kernel/launch-geometry.ts';
import type { ExchangePath, LaunchGeometry } from '../../src/webgpu/kernel/launch-geometry.ts';
import { adversarialRows } from './adversarial-rows.ts';
import { emulateSubgroups } from './emulated-subgroups.ts';
import { problemsOfRun } from './shader-run.ts';
import type { ShaderRun } from './shader-run.ts';
import { requestSoftwareDevice, skipWithoutWebGpu } from './software-webgpu.ts';

const DTYPES = ['bf16', 'f16', 'f32'] as const;
const CONFIGS: readonly RouterConfig[] = [
  ...DTYPES.map((logitsDtype) => ({ experts: 128, topK: 4, logitsDtype })),
  { experts: 128, topK: 8, logitsDtype: 'bf16' },
  { experts: 256, topK: 8, logitsDtype: 'f16', renormalize: false },
  { experts: 256, topK: 8, logitsDtype: 'f32' },
  { experts: 160, topK: 6, logitsDtype: 'bf16' },
  { experts: 384, topK: 3, logitsDtype: 'f16' },
  { experts: 144, topK: 1, logitsDtype: 'f32', scoring: 'sigmoid' },
  { experts: 192, topK: 2, logitsDtype: 'bf16', scoring: 'sqrtsoftplus' },
];

const TOKENS = 4100;
const ROUTERS: readonly RouterConfig[] = [
  { experts: 128, topK: 4, logitsDtype: 'bf16', idsDtype: 'i64', tokenExpertIndices: true, dispatchPlan: true },
  { experts: 128, topK: 8, logitsDtype: 'f32', idsDtype: 'u32', tokenExpertIndices: true, expertRange: [30, 90] },
  { experts: 160, topK: 6, logitsDtype: 'f16', renormalize: false, tokenExpertIndices: true, dispatchPlan: true },
];

/** Routers search chunks from 4096 tokens on; here the shader does with a few hundred, in every number of lanes. */
describe('WebGPU router, rows searched in chunks', function () {
  this.timeout(300_000);
  let device: GPUDevice | null = null;

  before(async function () {
    await skipWithoutWebGpu.call(this);
    device = await requestSoftwareDevice();
  });
  after(() => device?.destroy());

  for (const path of ['subgroups', 'workgroup'] as const) {
    for (const given of CONFIGS) {
      const config = resolveRouterConfig(given);
      const { experts, topK, logitsDtype } = config;
      const lanes = [1, 2, 4, 8].filter((count) => canSearchChunks(config, count));
      it(`${path}: E ${experts}, K ${topK}, ${logitsDtype}, by ${lanes.join(', ')} lanes a token`, async () => {
        assert.ok(device !== null);
        const logits = adversarialRows(config);
        for (const count of lanes) {
          const geometry = geometryOf(config, count);
          // SwiftShader's own subgroups have 4 invocations.
          const rewriteCode = (code: string): string =>
            count > 4 ? emulateSubgroups(code, { size: 32, laneFlip: 5 }) : code;
          const run: ShaderRun = { device, config, geometry, path, isContiguous: count % 3 === 1, rewriteCode };
          assert.deepEqual(await problemsOfRun(run, logits), [], `${count} lanes`);
        }
      });
    }
  }

  for (const path of ['subgroups', 'workgroup'] as const) {
    for (const given of ROUTERS) {
      const { experts, topK, logitsDtype } = given;
      it(`${path}: a router of E ${experts}, K ${topK}, ${logitsDtype}, with every layout of a call`, async () => {
        assert.ok(device !== null);
        await using router = await createWebGpuRouter(given, { device, path });
        const rows = adversarialRows(router.config);
        // The rows over and over, from one row to the next `rowStride` elements.
        const spread = (rowStride: number): Logits => {
          const logits =
            rows instanceof Float32Array ? new Float32Array(TOKENS * rowStride) : new Uint16Array(TOKENS * rowStride);
          for (let token = 0; token < TOKENS; token++) {
            const start = (token * experts) % rows.length;
            logits.set(rows.subarray(start, start + experts), token * rowStride);
          }
          return logits;
        };
        const mask = Uint8Array.from({ length: TOKENS }, (_, token) => (token % 5 === 3 ? 1 : 0));
        const calls: readonly RouteOptions[] = [
          {},
          { paddingMask: mask },
          { rowCount: 4001 },
          { rowStride: experts + 8 },
        ];
        for (const options of calls) {
          const logits = spread(options.rowStride ?? experts);
          const output = await router.route(logits, options);
          const call = checkRouteArguments(router.config, logits, options);
          assert.deepEqual(
            compareOutput(router.config, logits, call, output).problems,
            [],
            JSON.stringify(Object.keys(options)),
          );
        }
      });
    }
  }

  it('is the geometry of routers for many tokens where it applies', () => {
    const chosen = (config: RouterConfig, tokenRange: 'many' | 'most', path: ExchangePath, isAligned = true): boolean =>
      chooseGeometry(resolveRouterConfig(config), { path, minSubgroupSize: 32, tokenRange, isAligned }).searchesChunks;
    for (const path of ['subgroups', 'workgroup'] as const) {
      for (const logitsDtype of DTYPES) {
        assert.ok(chosen({ experts: 128, topK: 4, logitsDtype }, 'most', path));
        assert.ok(chosen({ experts: 256, topK: 8, logitsDtype }, 'most', path));
      }
      assert.ok(!chosen({ experts: 128, topK: 4 }, 'many', path));
      assert.ok(!chosen({ experts: 128, topK: 4 }, 'most', path, false));
      assert.ok(!chosen({ experts: 64, topK: 4 }, 'most', path));
      assert.ok(!chosen({ experts: 128, topK: 9 }, 'most', path));
      assert.ok(!chosen({ experts: 256, topK: 8, correctionBias: new Float32Array(256) }, 'most', path));
      assert.ok(!chosen({ experts: 129, topK: 4 }, 'most', path));
    }
  });

  for (const path of ['subgroups', 'workgroup'] as const) {
    it(`the search without chunks, path ${path}, gives the same of the same rows`, async () => {
      assert.ok(device !== null);
      for (const logitsDtype of DTYPES) {
        const config = resolveRouterConfig({ experts: 128, topK: 4, logitsDtype });
        for (const tokenRange of ['few', 'most'] as const) {
          const launch = { path, minSubgroupSize: 4, tokenRange, isAligned: true };
          const geometry: LaunchGeometry = chooseGeometry(
            resolveRouterConfig({ experts: 128, topK: 9, logitsDtype }),
            launch,
          );
          assert.ok(!geometry.searchesChunks);
          const run: ShaderRun = { device, config, geometry, path, isContiguous: tokenRange === 'few' };
          assert.deepEqual(await problemsOfRun(run, adversarialRows(config)), []);
        }
      }
    });
  }
});

function geometryOf(config: ReturnType<typeof resolveRouterConfig>, lanesPerToken: number): LaunchGeometry {
  const workgroupSize = 64;
  const logitsPerLoad = logitsPerVector(config);
  const tokensPerWorkgroup = workgroupSize / lanesPerToken;
  return { lanesPerToken, workgroupSize, tokensPerWorkgroup, logitsPerLoad, searchesChunks: true };
}
