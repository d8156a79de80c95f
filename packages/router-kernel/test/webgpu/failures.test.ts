import assert from 'node:assert/strict';
import {
  BackendUnavailableError,
  DeviceError,
  DisposedError,
  InvalidConfigError,
  KernelCompileError,
  OutOfDeviceMemoryError,
} from '../../src/errors.ts';
import { createRouterOnGpu } from '../../src/webgpu/browser.ts';
import { createWebGpuRouter, WebGpuDeviceLostError, WebGpuValidationError } from '../../src/webgpu/index.ts';
import type { WebGpuRouter } from '../../src/webgpu/index.ts';
import { ObservedDevice } from './observed-device.ts';
import type { DeviceDisguise } from './observed-device.ts';
import { makeUnallocatedBuffer, requestSoftwareDevice, skipWithoutWebGpu } from './software-webgpu.ts';

/** GPUBufferUsage, whose global Node does not have. */
const [MAP_READ, STORAGE] = [0x1, 0x80];

const config = { experts: 8, topK: 2, dispatchPlan: true } as const;
const logits = Float32Array.of(3, 1, 4, 1, 5, 9, 2, 6);

function logitsOf(tokens: number): Float32Array {
  return Float32Array.from({ length: 8 * tokens }, (_, i) => logits[i % 8] ?? 0);
}

async function assertWorks(router: WebGpuRouter): Promise<void> {
  const { ids, dispatchPlan } = await router.route(logits);
  assert.deepEqual([...ids], [5, 7]);
  assert.deepEqual([...(dispatchPlan?.sortedSlots ?? [])], [0, 1]);
}

function isLost(reason: string): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof WebGpuDeviceLostError, String(error));
    assert.ok(error instanceof DeviceError);
    assert.deepEqual([error.code, error.status, error.reason], ['DEVICE_ERROR', 'lost', reason]);
    assert.match(error.message, /^The WebGPU device was lost · .* · \S/);
    return true;
  };
}

describe('WebGPU router when the device fails', function () {
  this.timeout(120_000);
  let real: GPUDevice;
  const uncaptured: string[] = [];

  before(skipWithoutWebGpu);
  beforeEach(async () => {
    real = await requestSoftwareDevice();
    real.onuncapturederror = ({ error }) => uncaptured.push(error.message);
  });
  afterEach(() => {
    real.destroy();
    assert.deepEqual(uncaptured.splice(0), []);
  });

  async function open(disguise: DeviceDisguise): Promise<{ observed: ObservedDevice; router: WebGpuRouter }> {
    const observed = new ObservedDevice(real, disguise);
    return { observed, router: await createWebGpuRouter(config, { device: observed.device }) };
  }

  describe('device loss', () => {
    it('before a call is a WebGpuDeviceLostError from every entry, at once and later', async () => {
      const { observed, router } = await open({});
      await assertWorks(router);
      real.destroy();
      await assert.rejects(router.route(logits), isLost('destroyed'));
      await real.lost;
      await assert.rejects(router.route(logits), isLost('destroyed'));
      assert.throws(() => encodeNothing(router), isLost('destroyed'));
      await assert.rejects(createWebGpuRouter(config, { device: observed.device }), isLost('destroyed'));
      await router.dispose();
      assert.equal(observed.count('buffer').alive, 0);
      await assert.rejects(router.route(logits), DisposedError);
    });

    it('during calls rejects every one of them, and dispose still ends', async () => {
      const { observed, router } = await open({});
      await assertWorks(router);
      const calls = [
        router.route(logits),
        router.route(logitsOf(4000)),
        router.route(logits),
        router.route(logitsOf(4000)),
      ];
      const outcomes = Promise.allSettled(calls);
      real.destroy();
      for (const outcome of await outcomes) {
        assert.ok(outcome.status === 'rejected');
        isLost('destroyed')(outcome.reason);
      }
      await router.dispose();
      assert.equal(observed.count('buffer').alive, 0);
    });

    it('while a router is made', async () => {
      const observed = new ObservedDevice(real);
      const making = createWebGpuRouter(config, { device: observed.device });
      real.destroy();
      await assert.rejects(making, isLost('destroyed'));
      assert.equal(observed.count('buffer').alive, 0);
    });

    it('that the driver reports names what it said, and is logged', async () => {
      const warnings: string[] = [];
      let lose: (info: GPUDeviceLostInfo) => void = () => undefined;
      const lost = new Promise<GPUDeviceLostInfo>((resolve) => {
        lose = resolve;
      });
      const { device } = new ObservedDevice(real, { lost });
      const logger = { warn: (message: string) => warnings.push(message) };
      await using router = await createWebGpuRouter(config, { device, logger });
      await assertWorks(router);
      lose({ reason: 'unknown', message: 'the driver was reset', __brand: 'GPUDeviceLostInfo' });
      await lost;
      await assert.rejects(router.route(logits), (error) => {
        assert.match(
          String(error),
          /lost · unknown \(the driver was reset\) · dispose of what ran on it, and make it anew/,
        );
        return isLost('unknown')(error);
      });
      assert.equal(warnings.length, 1);
      assert.match(warnings[0] ?? '', /was lost: the driver was reset/);
    });

    it('of the shared device gives later routers a new one', async () => {
      await using first = await createWebGpuRouter(config, { software: true });
      await using second = await createWebGpuRouter(config, { software: true });
      assert.equal(first.gpuDevice, second.gpuDevice);
      first.gpuDevice.destroy();
      await first.gpuDevice.lost;
      await using third = await createWebGpuRouter(config, { software: true });
      assert.notEqual(third.gpuDevice, first.gpuDevice);
      await assertWorks(third);
      await assert.rejects(second.route(logits), isLost('destroyed'));
    });
  });

  it('out of memory: OutOfDeviceMemoryError, and the router works on', async () => {
    let isFull = false;
    const { observed, router } = await open({
      makeBuffer: ({ size }) => (isFull ? makeUnallocatedBuffer(real, size) : null),
    });
    await assertWorks(router);
    await router.route(logitsOf(4000));
    const { alive } = observed.count('buffer');
    for (const tokens of [6000, 10_000, 20_000]) {
      const large = logitsOf(tokens);
      isFull = true;
      const refused = router.route(large);
      isFull = false;
      const beside = router.route(logits);
      await assert.rejects(refused, (error: unknown) => {
        assert.ok(error instanceof OutOfDeviceMemoryError, String(error));
        assert.deepEqual(
          [error.code, error.backend, error.requestedBytes],
          ['OUT_OF_DEVICE_MEMORY', 'webgpu', large.byteLength],
        );
        assert.equal((error.cause as object).constructor.name, 'GPUOutOfMemoryError');
        return true;
      });
      assert.deepEqual([...(await beside).ids], [5, 7]);
      assert.ok(observed.count('buffer').alive <= alive, `${observed.count('buffer').alive} buffers, ${alive} before`);
      const { dispatchPlan } = await router.route(large);
      assert.deepEqual([...(dispatchPlan?.expertOffsets ?? [])], [0, 0, 0, 0, 0, 0, tokens, tokens, 2 * tokens]);
      await assertWorks(router);
    }
    await router.dispose();
    isFull = true;
    await assert.rejects(createWebGpuRouter(config, { device: observed.device }), OutOfDeviceMemoryError);
  });

  it('more than the device can ever give: OutOfDeviceMemoryError, and the router works on', async () => {
    const { observed, router } = await open({ limits: { maxBufferSize: 65536, maxStorageBufferBindingSize: 65536 } });
    for (let round = 0; round < 3; round++) {
      await assert.rejects(router.route(logitsOf(4000)), OutOfDeviceMemoryError);
      await assertWorks(router);
    }
    const [tokens, slotBytes] = [8193, 8193 * 2 * 4];
    const outputs = { weights: range(real, slotBytes), ids: range(real, slotBytes) };
    const dispatchPlan = { expertOffsets: range(real, 64), sortedSlots: range(real, slotBytes) };
    const buffers = { logits: range(real, tokens * 8 * 4), ...outputs, dispatchPlan };
    assert.throws(() => encodeNothing(router, buffers, { tokens }), OutOfDeviceMemoryError);
    await router.dispose();
    assert.equal(observed.count('buffer').alive, 0);
  });

  it('refused calls: WebGpuValidationError, and the router works on', async () => {
    let isWrong = false;
    const { observed, router } = await open({
      makeBuffer: () => (isWrong ? real.createBuffer({ size: 16, usage: MAP_READ | STORAGE }) : null),
    });
    isWrong = true;
    const refused = router.route(logits);
    isWrong = false;
    await assert.rejects(refused, (error: unknown) => {
      assert.ok(error instanceof WebGpuValidationError, String(error));
      assert.deepEqual([error.code, error.status, error.operation], ['DEVICE_ERROR', 'validation', 'route']);
      assert.match(error.message, /^WebGPU refused route · .*MapRead.* · \S/s);
      return true;
    });
    await assertWorks(router);
    await router.dispose();
    assert.equal(observed.count('buffer').alive, 0);
  });

  it("leaves the caller's error scopes alone", async () => {
    const { router } = await open({});
    real.pushErrorScope('validation');
    const routing = router.route(logits);
    real.createBuffer({ size: 16, usage: MAP_READ | STORAGE });
    const scope = real.popErrorScope();
    await routing;
    assert.match((await scope)?.message ?? '', /MapRead/);
    await router.dispose();
  });

  it('a shader that does not compile: KernelCompileError with the log, and nothing is kept', async () => {
    const observed = new ObservedDevice(real, { rewriteCode: (code) => code.replaceAll('is_token', 'not_there +') });
    await assert.rejects(createWebGpuRouter(config, { device: observed.device }), (error: unknown) => {
      assert.ok(error instanceof KernelCompileError, String(error));
      assert.equal(error.code, 'KERNEL_COMPILE_FAILED');
      assert.match(error.log, /line \d+: /);
      return true;
    });
    assert.equal(observed.count('buffer').alive, 0);
  });

  it('subgroups forced on a device without them: InvalidConfigError; left alone it takes the other path', async () => {
    const device = await requestSoftwareDevice([]);
    await assert.rejects(createWebGpuRouter(config, { device, path: 'subgroups' }), (error: unknown) => {
      assert.ok(error instanceof InvalidConfigError, String(error));
      assert.deepEqual([error.option, error.received], ['path', 'subgroups']);
      return true;
    });
    for (const path of ['auto', 'workgroup'] as const) {
      await using router = await createWebGpuRouter(config, { device, path });
      assert.equal(router.path, 'workgroup');
      await assertWorks(router);
    }
    device.destroy();
  });

  it('takes the path that is asked for where the device has both', async () => {
    for (const [path, taken] of [
      ['auto', 'subgroups'],
      ['subgroups', 'subgroups'],
      ['workgroup', 'workgroup'],
    ] as const) {
      const codes: string[] = [];
      const keep = (code: string): string => {
        codes.push(code);
        return code;
      };
      const { device } = new ObservedDevice(real, { rewriteCode: keep });
      await using router = await createWebGpuRouter({ experts: 64, topK: 2 }, { device, path });
      assert.equal(router.path, taken);
      assert.equal(/subgroupShuffleXor/.test(codes.join()), taken === 'subgroups');
      assert.equal(/workgroupBarrier/.test(codes.join()), taken === 'workgroup');
    }
  });

  describe('without a device', () => {
    const gpu = (requestAdapter: () => Promise<unknown>): GPU => ({ requestAdapter }) as unknown as GPU;

    for (const [what, text, requestAdapter] of [
      [
        'no adapter',
        /WebGPU has nothing to run on · found no adapter · install a GPU driver/,
        () => Promise.resolve(null),
      ],
      [
        'an adapter that gives no device',
        /The WebGPU adapter .* gave no device: busy\. Close other programs/,
        () => Promise.resolve({ ...adapter, requestDevice: () => Promise.reject(new Error('busy')) }),
      ],
    ] as const) {
      it(`${what}: BackendUnavailableError, each time`, async () => {
        const broken = gpu(requestAdapter);
        for (let attempt = 0; attempt < 2; attempt++) {
          await assert.rejects(createRouterOnGpu(config, broken, {}), (error: unknown) => {
            assert.ok(error instanceof BackendUnavailableError, String(error));
            assert.deepEqual([error.code, error.backend], ['BACKEND_UNAVAILABLE', 'webgpu']);
            assert.match(error.message, text);
            assert.equal(error.tried.length, 1);
            return true;
          });
        }
      });
    }

    const adapter = {
      limits: { maxBufferSize: 2 ** 28, maxStorageBufferBindingSize: 2 ** 27 },
      features: new Set<string>(),
      info: { device: 'no such device', architecture: '', description: '', vendor: '' },
    };
  });
});

function range(device: GPUDevice, size: number): { buffer: GPUBuffer } {
  return { buffer: device.createBuffer({ size, usage: STORAGE }) };
}

/** Encodes into a pass that is never submitted. */
function encodeNothing(
  router: WebGpuRouter,
  buffers: Parameters<WebGpuRouter['encode']>[1] = {} as Parameters<WebGpuRouter['encode']>[1],
  options: Parameters<WebGpuRouter['encode']>[2] = { tokens: 1 },
): void {
  const commands = router.gpuDevice.createCommandEncoder();
  const pass = commands.beginComputePass();
  try {
    router.encode(pass, buffers, options);
  } finally {
    pass.end();
    commands.finish();
  }
}
