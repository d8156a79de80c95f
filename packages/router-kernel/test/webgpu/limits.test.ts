import assert from 'node:assert/strict';
import { checkRouteArguments } from '../../src/resolve-config.ts';
import type { RouteOptions, RouterConfig } from '../../src/contract.ts';
import { encodeLogits } from '../../src/number-formats.ts';
import { compareOutput } from '../../src/suite/index.ts';
import { PLAN_BLOCK, SUMMED_BLOCKS } from '../../src/webgpu/kernel/plan-shader.ts';
import { createWebGpuRouter } from '../../src/webgpu/index.ts';
import type { WebGpuRouter } from '../../src/webgpu/index.ts';
import { PlacedCall } from './encoded-call.ts';
import { ObservedDevice } from './observed-device.ts';
import { requestSoftwareDevice, skipWithoutWebGpu } from './software-webgpu.ts';

interface Dispatch {
  readonly columns: number;
  readonly rows: number;
}

/**
 * Devices may not be asked for less than WebGPU's default limits, whose cuts would take gigabytes to reach: the limits
 * here are shown, and held to, by the observed device.
 */
describe('WebGPU router at the limits of a device', function () {
  this.timeout(120_000);
  let real: GPUDevice;

  before(skipWithoutWebGpu);
  before(async () => {
    real = await requestSoftwareDevice();
  });
  after(() => real.destroy());

  async function open(
    config: RouterConfig,
    limits: Readonly<Record<string, number>>,
  ): Promise<{ router: WebGpuRouter; dispatches: Dispatch[] }> {
    const dispatches: Dispatch[] = [];
    const onDispatch = (columns: number, rows: number): number => dispatches.push({ columns, rows });
    const { device } = new ObservedDevice(real, { limits, onDispatch });
    return { router: await createWebGpuRouter(config, { device }), dispatches };
  }

  const mask = Uint8Array.from({ length: 4000 }, (_, token) => (token % 7 === 2 ? 9 : 0));
  const cuts: readonly (readonly [config: RouterConfig, tokens: number, options: RouteOptions])[] = [
    [{ experts: 8, topK: 2, dispatchPlan: true, tokenExpertIndices: true }, 4000, {}],
    [{ experts: 8, topK: 2, dispatchPlan: true }, 3841, { paddingMask: mask, rowCount: 3000 }],
    [{ experts: 13, topK: 3, logitsDtype: 'bf16', idsDtype: 'i64' }, 1300, { rowStride: 33, paddingMask: mask }],
    [{ experts: 32, topK: 4, logitsDtype: 'f16', tokenExpertIndices: true }, 1500, { rowStride: 40, rowCount: 777 }],
  ];
  for (const [config, tokens, options] of cuts) {
    const { experts, topK, logitsDtype = 'f32' } = config;
    it(`cuts ${tokens} tokens of E ${experts}, K ${topK}, ${logitsDtype} to what may be bound at once`, async () => {
      const { router, dispatches } = await open(config, { maxStorageBufferBindingSize: 32_768 });
      const logits = someLogits(config, tokens, options.rowStride);
      const output = await router.route(logits, { ...options, tokens });
      const call = checkRouteArguments(router.config, logits, { ...options, tokens });
      assert.deepEqual(compareOutput(router.config, logits, call, output).problems, []);
      const plans = config.dispatchPlan === true ? 2 : 0;
      assert.ok(dispatches.length - plans > 2, `${dispatches.length} dispatches: nothing was cut`);

      const { paddingMask, rowCount = tokens, rowStride = experts } = options;
      const input = {
        logits,
        options: { tokens, rowCount, rowStride },
        ...(paddingMask !== undefined && { paddingMask: paddingMask.subarray(0, tokens) }),
        deviceRowCount: tokens - 100,
      };
      const encoded = new PlacedCall(router, input, {
        logits: { buffer: 'logits', offset: 4 },
        weights: { buffer: 'weights', offset: 12 },
        ids: { buffer: 'ids', offset: 512 },
        paddingMask: { buffer: 'paddingMask', offset: 3 },
      });
      encoded.submit();
      assert.deepEqual(await encoded.problems(), []);
      encoded.destroy();
      await router.dispose();
    });
  }

  for (const path of ['subgroups', 'workgroup'] as const) {
    it(`spreads more workgroups than a dimension holds over two, path ${path}`, async () => {
      const config: RouterConfig = { experts: 8, topK: 8, dispatchPlan: true };
      const dispatches: Dispatch[] = [];
      const { device } = new ObservedDevice(real, {
        limits: { maxComputeWorkgroupsPerDimension: 12 },
        onDispatch: (columns, rows) => dispatches.push({ columns, rows }),
      });
      await using router = await createWebGpuRouter(config, { device, path });
      // The tokens; then the plan's blocks counted and placed; of very many, scanned for each expert between the two.
      for (const [tokens, spread] of [
        [3329, [true, true, true]],
        [(SUMMED_BLOCKS * PLAN_BLOCK) / 8 + 1, [true, true, false, true]],
      ] as const) {
        dispatches.length = 0;
        const logits = someLogits(config, tokens);
        const output = await router.route(logits);
        const call = checkRouteArguments(router.config, logits);
        assert.deepEqual(compareOutput(router.config, logits, call, output).problems, []);
        assert.deepEqual(
          dispatches.map(({ rows }) => rows > 1),
          spread,
          JSON.stringify(dispatches),
        );
      }
    });
  }
});

function someLogits(
  config: RouterConfig,
  tokens: number,
  rowStride: number = config.experts,
): ReturnType<typeof encodeLogits> {
  const length = (tokens - 1) * rowStride + config.experts;
  const values = Float32Array.from({ length }, (_, i) => 5 * Math.sin(i * 0.7 + (i % 1009)));
  return encodeLogits(values, config.logitsDtype ?? 'f32');
}
