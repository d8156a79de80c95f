import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OutOfDeviceMemoryError } from '@switchyard/gpu';
import type { GpuDriver } from '@switchyard/gpu';
import { emulatedGpu } from '@switchyard/gpu/testing';
import { openSnapshot } from '@switchyard/models';
import type { Snapshot } from '@switchyard/models';
import { skipWithoutHostCompiler } from '../../../../gpu/test/testing/skip-without.ts';
import { AbortedError } from '../../../src/errors.ts';
import { DeviceMemoryError, UnsupportedWeightsError } from '../../../src/runners/hip/errors.ts';
import { createHipRunner } from '../../../src/runners/hip/index.ts';
import { planHipMemory } from '../../../src/runners/hip/plan-memory.ts';
import type { LoadingStep } from '../../../src/runners/load-plan.ts';
import { EMULATED_TARGETS } from './emulated-runner.ts';

const [target] = EMULATED_TARGETS;
const KV_BYTES = 2 ** 20;

describe('loading into the GPU runner', function () {
  this.timeout(120_000);
  let snapshot: Snapshot;
  let cacheFolder = '';
  before(async function () {
    skipWithoutHostCompiler.call(this);
    snapshot = await openSnapshot();
    cacheFolder = mkdtempSync(join(tmpdir(), 'switchyard-loading-'));
  });
  after(() => {
    snapshot?.dispose();
    if (cacheFolder !== '') rmSync(cacheFolder, { recursive: true, force: true });
  });

  it('refuses a model that does not fit before anything is read, with numbers', async () => {
    const plan = planHipMemory(snapshot.config);
    const needed = plan.weightBytes + plan.workspaceBytes + KV_BYTES;
    const gpu = emulatedGpu({ target, memoryBytes: needed - 1 });
    let heard = 0;
    const { driver, compiler } = gpu;
    const options = { snapshot, kvCacheBytes: KV_BYTES, driver, compiler, cacheFolder, onProgress: () => void heard++ };
    await assert.rejects(createHipRunner(options), (error) => {
      assert.ok(error instanceof DeviceMemoryError);
      assert.deepEqual([error.neededBytes, error.freeBytes, heard], [needed, needed - 1, 0]);
      return true;
    });
    assert.equal(gpu.allocatedBytes, 0);
    gpu.dispose();
  });

  it('takes no more of the device than was planned, tells how far it is, and gives everything back', async () => {
    const gpu = emulatedGpu({ target });
    const { driver, compiler } = gpu;
    const steps: LoadingStep[] = [];
    let mostBytes = 0;
    const pinned = { bytes: 0 };
    const counted: GpuDriver = {
      ...driver,
      allocatePinned: (bytes, options) => {
        const buffer = driver.allocatePinned(bytes, options);
        pinned.bytes += bytes;
        return { ...buffer, free: () => ((pinned.bytes -= bytes), buffer.free()) };
      },
    };
    const runner = await createHipRunner({
      snapshot,
      kvCacheBytes: KV_BYTES,
      driver: counted,
      compiler,
      cacheFolder,
      onProgress: (step) => {
        steps.push(step);
        mostBytes = Math.max(mostBytes, gpu.allocatedBytes - pinned.bytes);
      },
    });
    const plan = planHipMemory(snapshot.config);
    const planned = plan.weightBytes + plan.workspaceBytes + KV_BYTES;
    // Parts begin at multiples of 256 bytes.
    assert.ok(mostBytes <= planned + 2 ** 17, `${mostBytes} bytes where ${planned} were planned`);
    assert.ok(mostBytes >= 0.9 * plan.weightBytes);
    const lastStep = steps.at(-1);
    assert.ok(lastStep !== undefined && lastStep.doneBytes === lastStep.totalBytes);
    assert.equal(lastStep.totalBytes, snapshot.tensorBytes, 'every tensor is read once');
    steps.forEach(({ doneBytes }, index) => assert.ok(doneBytes >= (steps[index - 1]?.doneBytes ?? 0)));
    await runner.dispose();
    assert.equal(gpu.allocatedBytes, 0);
    gpu.dispose();
  });

  for (const [when, at] of [
    ['before the first piece', 1],
    ['in the middle', 90],
  ] as const) {
    it(`ends a load that is given up ${when}, and gives everything back`, async () => {
      const gpu = emulatedGpu({ target });
      const { driver, compiler } = gpu;
      let heard = 0;
      const onProgress = (): void => {
        heard++;
        if (heard === at) throw new AbortedError('Loading');
      };
      const options = { snapshot, kvCacheBytes: KV_BYTES, driver, compiler, cacheFolder, onProgress };
      await assert.rejects(createHipRunner(options), AbortedError);
      assert.equal(heard, at);
      assert.equal(gpu.allocatedBytes, 0);
      gpu.dispose();
    });
  }

  it('gives everything back where the device runs out of memory on the way', async () => {
    const gpu = emulatedGpu({ target });
    const { compiler } = gpu;
    let left = 8;
    const driver: GpuDriver = {
      ...gpu.driver,
      allocate: (bytes) => {
        left--;
        if (left < 0) throw new OutOfDeviceMemoryError('hip', bytes, 'none left');
        return gpu.driver.allocate(bytes);
      },
    };
    const options = { snapshot, kvCacheBytes: KV_BYTES, driver, compiler, cacheFolder };
    await assert.rejects(createHipRunner(options), OutOfDeviceMemoryError);
    assert.equal(gpu.allocatedBytes, 0);
    gpu.dispose();
  });

  it('refuses weights that its kernels are not written for', async () => {
    const gpu = emulatedGpu({ target });
    const { driver, compiler } = gpu;
    const [layer, ...others] = snapshot.weights.layers;
    assert.ok(layer !== undefined);
    const { gateUp } = layer;
    const tensor = { ...layer.query.weight, shape: [32, 256, 256] };
    const bf16 = { kind: 'bf16', shape: [32, 256, 256], tensor, transposed: false } as const;
    const layers = [{ ...layer, gateUp: { ...gateUp, weight: bf16 } }, ...others];
    for (const changed of [
      { ...snapshot, weights: { ...snapshot.weights, layers } },
      { ...snapshot, weights: { ...snapshot.weights, lmHead: { ...snapshot.weights.lmHead, dtype: 'F16' as const } } },
      { ...snapshot, config: { ...snapshot.config, headDim: 128 } },
      ...[5, 6, 17, 20].map((group) => {
        const attentionHeads = group * snapshot.config.keyValueHeads;
        return { ...snapshot, config: { ...snapshot.config, attentionHeads } };
      }),
    ]) {
      const options = { snapshot: changed, kvCacheBytes: KV_BYTES, driver, compiler, cacheFolder };
      await assert.rejects(createHipRunner(options), UnsupportedWeightsError);
    }
    assert.equal(gpu.allocatedBytes, 0);
    gpu.dispose();
  });
});
