import assert from 'node:assert/strict';
import { createRouter } from '../src/create-router.ts';
import type { CreateRouterOptions } from '../src/create-router.ts';
import { BackendUnavailableError, InvalidConfigError } from '../src/errors.ts';

const config = { experts: 8, topK: 2 } as const;
const logits = Float32Array.of(0, 1, 2, 3, 4, 5, 6, 7);

describe('createRouter', () => {
  const variable = 'SWITCHYARD_ROUTER';
  const before = process.env[variable];
  const deviceBefore = process.env['SWITCHYARD_DEVICE'];
  beforeEach(() => {
    delete process.env[variable];
    delete process.env['SWITCHYARD_DEVICE'];
  });
  after(() => {
    if (before === undefined) delete process.env[variable];
    else process.env[variable] = before;
    if (deviceBefore === undefined) delete process.env['SWITCHYARD_DEVICE'];
    else process.env['SWITCHYARD_DEVICE'] = deviceBefore;
  });

  it('makes the backend that is named', async () => {
    await using router = await createRouter({ ...config, backend: 'cpu' });
    assert.equal(router.backend, 'cpu');
    assert.deepEqual([...(await router.route(logits)).ids], [7, 6]);
  });

  it('gives outputs whose type has the dispatch plan where it is asked for, and only there', async () => {
    await using planning = await createRouter({ ...config, backend: 'cpu', dispatchPlan: true });
    assert.deepEqual([...(await planning.route(logits)).dispatchPlan.sortedSlots], [1, 0]);
    await using plain = await createRouter({ ...config, backend: 'cpu' });
    const output = await plain.route(logits);
    // @ts-expect-error: it may be absent
    assert.throws(() => output.dispatchPlan.sortedSlots, TypeError);
  });

  it('tries hip, webgpu and cpu, and logs why each was passed over', async () => {
    const said: string[] = [];
    await using router = await createRouter({ ...config, logger: { info: (message) => said.push(message) } });
    const passedOver = { hip: 0, webgpu: 1, cpu: 2 }[router.backend];
    const reasons = said.filter((message) => message.includes('passed over'));
    assert.equal(reasons.length, passedOver);
    for (const [i, backend] of ['hip', 'webgpu'].slice(0, passedOver).entries()) {
      assert.match(reasons[i] ?? '', new RegExp(`^Router backend ${backend} passed over\\. .{20,}`));
    }
    assert.deepEqual(Array.from((await router.route(logits)).ids, Number), [7, 6]);
  });

  it('lets the environment decide for auto, and only for auto', async () => {
    process.env[variable] = 'cpu';
    const said: string[] = [];
    await using router = await createRouter({ ...config, logger: { info: (message) => said.push(message) } });
    assert.equal(router.backend, 'cpu');
    assert.deepEqual(said, []);
    process.env[variable] = 'nonsense';
    await using named = await createRouter({ ...config, backend: 'cpu' });
    assert.equal(named.backend, 'cpu');
  });

  it('treats an empty variable and the word auto as none', async () => {
    for (const value of ['', 'auto']) {
      process.env[variable] = value;
      await using router = await createRouter(config);
      assert.ok(['hip', 'webgpu', 'cpu'].includes(router.backend));
    }
  });

  it('refuses a backend that it does not know, wherever it is named', async () => {
    const wrong = { ...config, backend: 'cuda' } as unknown as CreateRouterOptions;
    await assert.rejects(createRouter(wrong), (error: unknown) => {
      assert.ok(error instanceof InvalidConfigError);
      assert.equal(error.option, 'backend');
      assert.match(error.message, /^backend must be one of 'auto', 'hip', 'webgpu', 'cpu' · found 'cuda'/);
      return true;
    });
    process.env[variable] = 'rocm';
    await assert.rejects(createRouter(config), /SWITCHYARD_ROUTER must be one of .* · found 'rocm'/);
  });

  it('refuses a wrong configuration before it looks for devices', async () => {
    const said: string[] = [];
    const logger = { info: (message: string) => said.push(message) };
    await assert.rejects(createRouter({ experts: 8, topK: 9, logger }), { code: 'INVALID_CONFIG' });
    assert.deepEqual(said, []);
  });

  it('goes to no other backend where a GPU is named, in the call or in the environment', async () => {
    const isNoGpu = (error: unknown): true => {
      assert.ok(error instanceof BackendUnavailableError, String(error));
      assert.equal(error.backend, 'hip');
      return true;
    };
    const device = 'a GPU that nobody makes';
    for (const backend of ['auto', 'hip'] as const) {
      await assert.rejects(createRouter({ ...config, backend, device }), isNoGpu);
      process.env['SWITCHYARD_DEVICE'] = device;
      await assert.rejects(createRouter({ ...config, backend }), isNoGpu);
      delete process.env['SWITCHYARD_DEVICE'];
    }
  });

  it('heeds SWITCHYARD_DEVICE only where a GPU is wanted', async () => {
    process.env['SWITCHYARD_DEVICE'] = 'a GPU that nobody makes';
    await using named = await createRouter({ ...config, backend: 'cpu' });
    process.env[variable] = 'cpu';
    await using chosen = await createRouter(config);
    assert.deepEqual([named.backend, chosen.backend], ['cpu', 'cpu']);
  });

  it('refuses a device that says nothing, or that the backend has not', async () => {
    const isRefused = (error: unknown): boolean => error instanceof InvalidConfigError && error.option === 'device';
    const wrong = { ...config, device: { index: 0 } } as unknown as CreateRouterOptions;
    await assert.rejects(createRouter(wrong), isRefused);
    for (const backend of ['cpu', 'webgpu'] as const) {
      await assert.rejects(createRouter({ ...config, backend, device: 0 }), isRefused);
    }
    process.env[variable] = 'cpu';
    await assert.rejects(createRouter({ ...config, device: 0 }), isRefused);
  });

  for (const backend of ['hip', 'webgpu'] as const) {
    it(`starts ${backend}, or says why not`, async function () {
      try {
        await using router = await createRouter({ ...config, backend });
        assert.equal(router.backend, backend);
        assert.deepEqual(Array.from((await router.route(logits)).ids, Number), [7, 6]);
      } catch (error) {
        assert.ok(error instanceof BackendUnavailableError);
        assert.equal(error.backend, backend);
        assert.ok(error.message.length > 20);
      }
    });
  }
});
