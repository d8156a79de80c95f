import assert from 'node:assert/strict';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { RouterConfig } from '../../src/contract.ts';
import { createWebGpuRouter } from '../../src/webgpu/index.ts';
import type { WebGpuRouter } from '../../src/webgpu/index.ts';
import { ObservedDevice } from './observed-device.ts';
import { requestSoftwareDevice, skipWithoutWebGpu } from './software-webgpu.ts';

/** GPUBufferUsage.STORAGE, whose global Node does not have. */
const STORAGE = 0x80;
const IN_FLIGHT = 4;
/** Together the 60,000 calls behind the first 40,000. */
const WINDOWS = 5;
const CALLS_PER_WINDOW = 12_000;

/** Collects garbage until nothing more goes: WebGPU objects hold on to one another. */
async function collectGarbage(): Promise<void> {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  assert.ok(typeof collect === 'function');
  for (let round = 0; round < 5; round++) {
    collect();
    // Finalizers run between turns of the event loop.
    await new Promise((resolve) => {
      setTimeout(resolve, 10);
    });
  }
}

/** Bytes of the process that are in memory, without garbage. */
async function residentBytes(): Promise<number> {
  await collectGarbage();
  return process.memoryUsage.rss();
}

describe('WebGPU router over many calls', function () {
  this.timeout(900_000);
  let real: GPUDevice | null = null;

  before(skipWithoutWebGpu);
  beforeEach(async () => {
    real = await requestSoftwareDevice();
  });
  afterEach(() => real?.destroy());

  async function open(config: RouterConfig): Promise<{ observed: ObservedDevice; router: WebGpuRouter }> {
    assert.ok(real !== null);
    const observed = new ObservedDevice(real);
    return { observed, router: await createWebGpuRouter(config, { device: observed.device }) };
  }

  it('keeps its buffers, and nothing else, over 100,000 calls', async () => {
    const { observed, router } = await open({ experts: 8, topK: 2 });
    const logits = Float32Array.of(3, 1, 4, 1, 5, 9, 2, 6);
    const routeMany = async (calls: number): Promise<void> => {
      for (let call = 0; call < calls; call += IN_FLIGHT) {
        const outputs = await Promise.all(Array.from({ length: IN_FLIGHT }, () => router.route(logits)));
        for (const { ids } of outputs) assert.ok(ids[0] === 5 && ids[1] === 7, `ids ${ids.join()}`);
      }
    };
    // Until then the allocator takes memory that it keeps.
    await routeMany(40_000);
    const before = observed.count('buffer');
    // What leaks grows in every window, and so in all of them together. The allocator's own doing, megabytes up in one
    // window and down in the next, shows in one of the two at most.
    const grown: number[] = [];
    let bytes = await residentBytes();
    for (let window = 0; window < WINDOWS; window++) {
      await routeMany(CALLS_PER_WINDOW);
      const now = await residentBytes();
      grown.push((now - bytes) / CALLS_PER_WINDOW);
      bytes = now;
    }
    assert.deepEqual(observed.count('buffer'), before);
    assert.equal(observed.count('command encoder').made, 100_000);
    assert.equal(observed.count('bind group').made, 100_000);
    for (const kind of ['bind group', 'command encoder', 'compute pass'] as const) {
      // The engine's last frames may still hold those of the calls that ended last.
      assert.ok(observed.count(kind).alive <= 2 * IN_FLIGHT, `${observed.count(kind).alive} of kind ${kind} live on`);
    }
    const usual = grown.toSorted((one, other) => one - other)[WINDOWS >> 1] ?? Number.NaN;
    const mean = grown.reduce((sum, growth) => sum + growth, 0) / WINDOWS;
    assert.ok(
      Math.min(usual, mean) < 250,
      `memory grew by ${grown.map((growth) => growth.toFixed(0)).join(', ')} bytes a call`,
    );
    await router.dispose();
    assert.equal(observed.count('buffer').alive, 0);
  });

  it('settles on few buffers where calls differ in size, number, mask and outcome', async () => {
    const { observed, router } = await open({ experts: 8, topK: 2, dispatchPlan: true, tokenExpertIndices: true });
    const logits = Float32Array.from({ length: 8 * 700 }, (_, i) => Math.sin(i));
    const paddingMask = Uint8Array.from({ length: 700 }, (_, i) => i % 2);
    let settled = 0;
    for (let round = 0; round < 12; round++) {
      const calls = [1, 700, 40, 3, 0, 511, 257].map((tokens, i) =>
        router.route(logits, { tokens, ...((round + i) % 2 === 0 && { paddingMask }) }),
      );
      const refused = router.route(logits, { tokens: 701 });
      await assert.rejects(refused, { code: 'INVALID_ARGUMENT' });
      await Promise.all(calls);
      const { alive } = observed.count('buffer');
      if (round === 5) settled = alive;
      if (round > 5) assert.ok(alive <= settled, `${alive} buffers in round ${round}, ${settled} before`);
    }
    await router.dispose();
    // A plan's outgrown scratch memory is left to the command buffers that used it.
    await collectGarbage();
    assert.equal(observed.count('buffer').alive, 0);
  });

  it('drops the numbers of encoded calls that are over', async () => {
    const { observed, router } = await open({ experts: 8, topK: 2 });
    const { device } = observed;
    const buffer = (): GPUBuffer => device.createBuffer({ size: 8 * 4 * 64, usage: STORAGE });
    const buffers = { logits: { buffer: buffer() }, weights: { buffer: buffer() }, ids: { buffer: buffer() } };
    const atFirst = observed.count('buffer').alive;
    for (let call = 0; call < 4000; call++) {
      const commands = device.createCommandEncoder();
      const pass = commands.beginComputePass();
      router.encode(pass, buffers, { tokens: 1 + (call % 60), rowCount: call % 2, rowStride: 8 });
      router.encode(pass, buffers, { tokens: 1, rowStride: 8 + call });
      pass.end();
      device.queue.submit([commands.finish()]);
      if (call % 500 === 499) {
        await device.queue.onSubmittedWorkDone();
        await collectGarbage();
        const { alive } = observed.count('buffer');
        assert.ok(alive <= atFirst + 2, `${alive} buffers after ${call} calls, ${atFirst} at first`);
      }
    }
    assert.ok(observed.count('buffer').made > atFirst + 50, 'no buffer of numbers was ever full');
    await router.dispose();
    for (const { buffer: owned } of Object.values(buffers)) owned.destroy();
    await collectGarbage();
    assert.equal(observed.count('buffer').alive, 0);
  });
});
