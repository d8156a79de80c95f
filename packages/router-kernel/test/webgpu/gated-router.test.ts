/** The WebGPU gated router on SwiftShader. */

import assert from 'node:assert/strict';
import { DisposedError, InvalidArgumentError } from '../../src/errors.ts';
import { referenceGatedRoute } from '../../src/gate/gate-reference.ts';
import { gateCases, runGateSuite } from '../../src/suite/index.ts';
import { GATE_ROWS } from '../../src/webgpu/kernel/gate-values.ts';
import { createWebGpuGatedRouter } from '../../src/webgpu/index.ts';
import type { GatedRouterGpuBuffers } from '../../src/webgpu/index.ts';
import { requestSoftwareDevice, skipWithoutWebGpu } from './software-webgpu.ts';

/** GPUBufferUsage */
const STORAGE_COPIES = 0x8c;
const READBACK = 0x9;

describe('WebGPU gated router on SwiftShader', function () {
  this.timeout(300_000);
  let device: GPUDevice | null = null;
  const gpuErrors: string[] = [];

  before(async function () {
    await skipWithoutWebGpu.call(this);
    device = await requestSoftwareDevice(['subgroups'], { maxStorageBuffersPerShaderStage: 12 });
    device.onuncapturederror = ({ error }) => gpuErrors.push(error.message);
  });
  after(() => device?.destroy());
  afterEach(() => assert.deepEqual(gpuErrors.splice(0), []));

  it('passes the gate suite on small shapes', async () => {
    assert.ok(device !== null);
    const options = { device };
    const cases = gateCases('smoke').filter(
      ({ config, section }) => config.hiddenSize <= 72 || section === 'equal experts',
    );
    const result = await runGateSuite((config) => createWebGpuGatedRouter(config, options), { cases });
    assert.deepEqual(result.failures, []);
    assert.ok(result.rows > 200, `only ${result.rows} rows were compared`);
  });

  it('gives rows the same bits in one dispatch and in several', async () => {
    assert.ok(device !== null);
    const options = { device };
    const cases = gateCases('smoke').filter(({ section }) => section === 'numbers of tokens');
    assert.ok(cases.some(({ prefixes }) => Math.min(...prefixes) <= GATE_ROWS && Math.max(...prefixes) > GATE_ROWS));
    const result = await runGateSuite((config) => createWebGpuGatedRouter(config, options), { cases });
    assert.deepEqual(result.failures, []);
  });

  it('encodes gate and router into one pass, from any offset, and refuses what is no range of hidden states', async () => {
    assert.ok(device !== null);
    const [gateCase] = gateCases('smoke').filter(({ section }) => section === 'gate layout');
    const call = gateCase?.calls[0];
    assert.ok(gateCase !== undefined && call !== undefined);
    const { config } = gateCase;
    const { hidden, options } = call.makeInput();
    const expected = referenceGatedRoute(config, hidden, options);
    const { tokens, ids } = expected;
    const gpu = device;
    const buffer = (size: number, usage = STORAGE_COPIES): GPUBuffer => gpu.createBuffer({ size, usage });
    const router = await createWebGpuGatedRouter(config, { device });
    const input = buffer(hidden.byteLength + 48);
    device.queue.writeBuffer(input, 48, new Uint8Array(hidden.buffer, hidden.byteOffset, hidden.byteLength));
    const slots = tokens * config.topK;
    const [readIds, readLogits] = [buffer(slots * 4, READBACK), buffer(expected.routerLogits.byteLength, READBACK)];
    const buffers: GatedRouterGpuBuffers = {
      hidden: { buffer: input, offset: 48 },
      logits: { buffer: buffer(expected.routerLogits.byteLength + 16), offset: 16 },
      weights: { buffer: buffer(slots * 4) },
      ids: { buffer: buffer(slots * 4) },
      dispatchPlan: {
        expertOffsets: { buffer: buffer((config.experts + 1) * 4) },
        sortedSlots: { buffer: buffer(slots * 4) },
      },
    };
    const commands = device.createCommandEncoder();
    const pass = commands.beginComputePass();
    const encoded = { tokens, rowStride: options.rowStride ?? config.hiddenSize };
    router.encode(pass, buffers, encoded);
    for (const [change, argument] of [
      [{ hidden: { buffer: input, offset: 8 } }, 'hidden'],
      [{ hidden: { buffer: input, offset: 80 } }, 'hidden'],
      [{ logits: { buffer: readLogits } }, 'logits'],
      [{ hidden: buffers.weights }, 'hidden'],
      [{ rowCount: buffers.logits }, 'rowCount'],
    ] as const) {
      assert.throws(
        () => router.encode(pass, { ...buffers, ...change }, encoded),
        (error) => error instanceof InvalidArgumentError && error.argument === argument,
      );
    }
    assert.throws(
      () => router.encode(pass, buffers, { tokens, rowStride: config.hiddenSize + 4 }),
      (error) => error instanceof InvalidArgumentError && error.argument === 'rowStride',
    );
    pass.end();
    commands.copyBufferToBuffer(buffers.ids.buffer, 0, readIds, 0, slots * 4);
    commands.copyBufferToBuffer(buffers.logits.buffer, 16, readLogits, 0, expected.routerLogits.byteLength);
    device.queue.submit([commands.finish()]);
    await Promise.all([readIds.mapAsync(1), readLogits.mapAsync(1)]);
    assert.deepEqual(new Int32Array(readIds.getMappedRange()), ids);
    const logits = new Float32Array(readLogits.getMappedRange());
    assert.ok(logits.every((logit, i) => Math.abs(logit - (expected.routerLogits[i] ?? NaN)) < 1e-5));
    await router.dispose();
    assert.throws(() => router.encode(pass, buffers, encoded), DisposedError);
    await assert.rejects(router.route(hidden), DisposedError);
  });
});
