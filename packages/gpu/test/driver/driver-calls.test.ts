import assert from 'node:assert/strict';
import { DeviceError, DisposedError, OutOfDeviceMemoryError } from '../../src/errors.ts';
import type { NativeRuntime } from '../../src/driver/native-calls.ts';
import { addressOf, viewOf } from '../../src/driver/native-memory.ts';
import type { NativeArgument } from '../../src/driver/shared-library.ts';
import { NativeGpuDriver } from '../../src/driver/native-driver.ts';
import { paperRuntime } from './paper-runtime.ts';

describe('NativeGpuDriver', () => {
  it('turns a lack of memory into OutOfDeviceMemoryError, on the device and pinned', () => {
    const { runtime } = paperRuntime({ malloc: 2, hostMalloc: 2 });
    const driver = new NativeGpuDriver(runtime);
    for (const allocate of [() => driver.allocate(4096), () => driver.allocatePinned(4096)]) {
      assert.throws(allocate, (error) => error instanceof OutOfDeviceMemoryError && error.requestedBytes === 4096);
    }
  });

  it('names the call, the code and its name in a DeviceError', () => {
    const { runtime } = paperRuntime({ streamCreate: 719 });
    assert.throws(
      () => new NativeGpuDriver(runtime).createStream(),
      (error) =>
        error instanceof DeviceError &&
        error.operation === 'paper_streamCreate' &&
        error.status === 'paperError719 (719)' &&
        error.message.includes('Paper GPU'),
    );
  });

  it('says that a code object was built for something else', () => {
    const { runtime } = paperRuntime({ moduleLoad: 209 });
    assert.throws(() => new NativeGpuDriver(runtime).loadModule(new Uint8Array(64)), /not built for gfx942/);
  });

  it('names the variable that makes a GPU pass for another, where a code object does not fit', () => {
    const name = 'HSA_OVERRIDE_GFX_VERSION';
    const before = process.env[name];
    process.env[name] = '9.4.2';
    try {
      const { runtime } = paperRuntime({ moduleLoad: 209 });
      const load = () => new NativeGpuDriver(runtime).loadModule(new Uint8Array(64));
      assert.throws(load, /not built for gfx942 \(set here: .*HSA_OVERRIDE_GFX_VERSION=9\.4\.2\)/);
    } finally {
      if (before === undefined) delete process.env[name];
      else process.env[name] = before;
    }
  });

  it('waits while a stream is not ready, and reports what it ends with', async () => {
    const answers = [600, 600, 0];
    const { runtime, log } = paperRuntime({ streamQuery: () => answers.shift() ?? 700 });
    const stream = new NativeGpuDriver(runtime).createStream();
    await stream.synchronize();
    assert.equal(log.filter(({ call }) => call === 'streamQuery').length, 3);
    await assert.rejects(stream.synchronize(), (error) => error instanceof DeviceError && /700/.test(error.message));
  });

  it('launches with the packed argument block and nothing else', () => {
    const { runtime, log } = paperRuntime();
    const driver = new NativeGpuDriver(runtime);
    const kernel = driver.loadModule(new Uint8Array(64)).kernel('route');
    const launch = driver.prepareLaunch(kernel, { block: 128, argumentBytes: 80 });
    assert.equal(launch.arguments.byteLength, 80);
    launch.grid.x = 7;
    launch.launch(99n);
    const last = log.at(-1);
    assert.equal(last?.call, 'launch');
    assert.deepEqual(last?.args.slice(1, 10), [7, 1, 1, 128, 1, 1, 0, 99n, 0n]);
  });

  it('asks for overlap by an attribute, where the runtime has the call', () => {
    const { runtime, log } = paperRuntime();
    const seen: {
      readonly grid: number;
      readonly block: number;
      readonly stream: bigint;
      readonly attribute: number[];
    }[] = [];
    const launchWithAttributes = (config: unknown): number => {
      const view = new DataView(viewOf(config as bigint, 56));
      const attribute = new DataView(viewOf(view.getBigUint64(40, true), 72));
      seen.push({
        grid: view.getUint32(0, true),
        block: view.getUint32(12, true),
        stream: view.getBigUint64(32, true),
        attribute: [view.getUint32(48, true), attribute.getUint32(0, true), attribute.getInt32(8, true)],
      });
      return 0;
    };
    const driver = new NativeGpuDriver({ ...runtime, launchWithAttributes });
    const launch = driver.prepareLaunch(driver.loadModule(new Uint8Array(64)).kernel('route'), {
      block: 128,
      argumentBytes: 80,
    });
    launch.grid.x = 7;
    launch.overlapsKernelBefore = true;
    launch.launch(99n);
    assert.deepEqual(seen, [{ grid: 7, block: 128, stream: 99n, attribute: [1, 6, 1] }]);
    assert.ok(!log.some(({ call }) => call === 'launch'));
    launch.overlapsKernelBefore = false;
    launch.launch(99n);
    assert.equal(log.at(-1)?.call, 'launch');
  });

  it('launches grids and blocks of three axes, with dynamic shared memory, plainly and by attribute', () => {
    const { runtime, log } = paperRuntime();
    const configured: number[][] = [];
    const launchWithAttributes = (config: unknown): number => {
      const view = new DataView(viewOf(config as bigint, 28));
      configured.push(Array.from({ length: 7 }, (_, word) => view.getUint32(word * 4, true)));
      return 0;
    };
    const driver = new NativeGpuDriver({ ...runtime, launchWithAttributes });
    const kernel = driver.loadModule(new Uint8Array(64)).kernel('tiles');
    const launch = driver.prepareLaunch(kernel, { block: [32, 4, 2], argumentBytes: 8, sharedBytes: 4096 });
    Object.assign(launch.grid, { x: 5, y: 6, z: 7 });
    launch.launch(99n);
    assert.deepEqual(log.at(-1)?.args.slice(1, 9), [5, 6, 7, 32, 4, 2, 4096, 99n]);
    launch.overlapsKernelBefore = true;
    launch.launch(99n);
    assert.deepEqual(configured, [[5, 6, 7, 32, 4, 2, 4096]]);
    const flat = driver.prepareLaunch(kernel, { block: [64, 2], argumentBytes: 8 });
    flat.launch(99n);
    assert.deepEqual(log.at(-1)?.args.slice(1, 9), [1, 1, 1, 64, 2, 1, 0, 99n]);
  });

  it('asks for shared memory past 48 KiB, once for each kernel and never for less', () => {
    const { runtime } = paperRuntime();
    const asked: number[] = [];
    let status = 0;
    const call = (_: bigint, bytes: number): number => {
      asked.push(bytes / 1024);
      return status;
    };
    const driver = new NativeGpuDriver({ ...runtime, allowSharedBytes: { name: 'paperAllow', call } });
    const module = driver.loadModule(new Uint8Array(64));
    const prepare = (name: string, kibibytes: number) =>
      driver.prepareLaunch(module.kernel(name), { block: 64, argumentBytes: 8, sharedBytes: kibibytes * 1024 });
    prepare('attention', 48);
    assert.deepEqual(asked, []);
    for (const kibibytes of [49, 100, 64, 100]) prepare('attention', kibibytes);
    assert.deepEqual(asked, [49, 100]);
    prepare('experts', 64);
    assert.deepEqual(asked, [49, 100, 64]);
    status = 1;
    assert.throws(
      () => prepare('attention', 300),
      (error) =>
        error instanceof DeviceError &&
        error.operation === 'paperAllow' &&
        error.message.includes(`attention, ${300 * 1024} bytes`),
    );
  });

  it('lets a stream wait for an event of another, and asks an event without waiting', () => {
    const answers = [600, 0, 700];
    const { runtime, log } = paperRuntime({ eventQuery: () => answers.shift() ?? 0 });
    const driver = new NativeGpuDriver(runtime);
    const [loading, computing] = [driver.createStream(), driver.createStream()];
    const event = driver.createEvent({ timing: false });
    assert.equal(log.at(-1)?.args[1], 2 | 1, 'no timing, and waiters that sleep');
    event.record(loading);
    computing.wait(event);
    assert.deepEqual(log.at(-1), { call: 'streamWaitEvent', args: [computing.handle, event.handle, 0] });
    assert.deepEqual([event.hasPassed(), event.hasPassed()], [false, true]);
    assert.throws(() => event.hasPassed(), DeviceError);
    driver.createEvent();
    assert.equal(log.at(-1)?.args[1], 0);
  });

  it('waits for an event by asking where it is soon passed, asleep where it takes long', async () => {
    let answers = [600, 600, 0, 700];
    const { runtime, log } = paperRuntime({ eventQuery: () => answers.shift() ?? 0 });
    const driver = new NativeGpuDriver(runtime);
    const event = driver.createEvent({ timing: false });
    const asked = (): number => log.filter(({ call }) => call === 'eventQuery').length;
    assert.equal(await event.passed(), false);
    assert.equal(asked(), 3);
    await assert.rejects(event.passed(0.1), DeviceError);
    assert.equal(asked(), 4);

    for (const expectedMs of [1, 30]) {
      answers = [600, 0, 700];
      const before = asked();
      let turns = 0;
      const turn = (): void => {
        turns++;
        if (turns > 0) immediate = setImmediate(turn);
      };
      let immediate = setImmediate(turn);
      try {
        const began = performance.now();
        assert.equal(await event.passed(expectedMs), false);
        assert.ok(performance.now() - began >= expectedMs, 'nobody asks before it is likely to be passed');
      } finally {
        clearImmediate(immediate);
      }
      assert.equal(asked() - before, 2);
      assert.ok(turns >= 1, 'the event loop has turns meanwhile');
      await assert.rejects(event.passed(expectedMs), DeviceError);
    }
  });

  it('maps pinned memory and memory of the caller for kernels', () => {
    const { runtime, log } = paperRuntime();
    // The runtime hands out host memory of this process, and addresses of its own for the device.
    const host = new Uint8Array(64);
    const writeOut = (out: NativeArgument | undefined, value: bigint): void =>
      new DataView(viewOf(out as bigint, 8)).setBigUint64(0, value, true);
    const calls: NativeRuntime['calls'] = {
      ...runtime.calls,
      hostMalloc: (...args) => {
        writeOut(args[0], addressOf(host));
        return runtime.calls.hostMalloc(...args);
      },
      hostDevicePointer: (out, pointer) => {
        writeOut(out, (pointer as bigint) + 0x1000n);
        return 0;
      },
    };
    const driver = new NativeGpuDriver({ ...runtime, calls });
    const plain = driver.allocatePinned(64);
    assert.deepEqual([plain.devicePointer, log.at(-1)?.args.slice(1)], [null, [64, 0]]);
    const mapped = driver.allocatePinned(64, { mapped: true });
    assert.equal(mapped.devicePointer, mapped.pointer + 0x1000n);
    assert.ok(log.some(({ call, args }) => call === 'hostMalloc' && args[2] === 0x40000002));
    const registered = driver.registerHost(host);
    assert.deepEqual(log.find(({ call }) => call === 'hostRegister')?.args, [addressOf(host), 64, 2]);
    assert.equal(registered.devicePointer, addressOf(host) + 0x1000n);
    registered.unregister();
    registered.unregister();
    assert.equal(log.filter(({ call }) => call === 'hostUnregister').length, 1);
  });

  it('gives memory back that it cannot map', () => {
    const { runtime, log } = paperRuntime({ hostDevicePointer: 1 });
    const driver = new NativeGpuDriver(runtime);
    assert.throws(() => driver.registerHost(new Uint8Array(64)), DeviceError);
    assert.equal(log.at(-1)?.call, 'hostUnregister');
    assert.throws(() => driver.allocatePinned(64, { mapped: true }), DeviceError);
    assert.equal(log.at(-1)?.call, 'hostFree');
  });

  it('uploads a graph where the runtime can, and leaves it to the first launch elsewhere', () => {
    const { runtime } = paperRuntime();
    const uploads: bigint[] = [];
    let status = 0;
    const call = (_: bigint, stream: bigint): number => {
      uploads.push(stream);
      return status;
    };
    for (const graphUpload of [{ name: 'paperUpload', call }, null]) {
      const driver = new NativeGpuDriver({ ...runtime, graphUpload });
      driver.capture(driver.createStream(), () => undefined).upload(7n);
    }
    assert.deepEqual(uploads, [7n]);
    const driver = new NativeGpuDriver({ ...runtime, graphUpload: { name: 'paperUpload', call } });
    const graph = driver.capture(driver.createStream(), () => undefined);
    status = 1;
    assert.throws(
      () => graph.upload(7n),
      (error) => error instanceof DeviceError && error.operation === 'paperUpload',
    );
  });

  it('says how many blocks of a kernel a multiprocessor holds', () => {
    const { runtime, log } = paperRuntime();
    const calls: NativeRuntime['calls'] = {
      ...runtime.calls,
      occupancy: (...args) => {
        new DataView(viewOf(args[0] as bigint, 4)).setInt32(0, 6, true);
        return runtime.calls.occupancy(...args);
      },
    };
    const kernel = new NativeGpuDriver({ ...runtime, calls }).loadModule(new Uint8Array(64)).kernel('route');
    assert.equal(kernel.blocksPerMultiprocessor([32, 4], 2048), 6);
    assert.deepEqual(log.at(-1)?.args.slice(1), [kernel.handle, 128, 2048]);
  });

  it('makes its device current before every call, so that several can be open at once', async () => {
    const { runtime, log } = paperRuntime();
    const graphUpload = { name: 'paperUpload', call: () => runtime.calls.graphLaunch() };
    const driver = new NativeGpuDriver({ ...runtime, graphUpload });
    const [stream, event] = [driver.createStream(), driver.createEvent()];
    const module = driver.loadModule(new Uint8Array(64));
    const kernel = module.kernel('route');
    const launch = driver.prepareLaunch(kernel, { block: 64, argumentBytes: 8 });
    const graph = driver.capture(stream, () => launch.launch(stream));
    const buffer = driver.allocate(8);
    const registered = driver.registerHost(new Uint8Array(8));
    const acts: readonly (() => unknown)[] = [
      () => driver.memory(),
      () => driver.allocate(8),
      () => driver.registerHost(new Uint8Array(8)),
      () => driver.createStream(),
      () => driver.createEvent(),
      () => driver.loadModule(new Uint8Array(64)),
      () => driver.copyToDevice(1n, 2n, 8, stream),
      () => driver.copyToHost(1n, 2n, 8, stream),
      () => driver.copyOnDevice(1n, 2n, 8, stream),
      () => driver.fill(1n, 0, 8, stream),
      () => driver.capture(stream, () => undefined),
      () => event.record(stream),
      () => event.hasPassed(),
      () => event.synchronize(),
      () => event.elapsedSince(event),
      () => stream.wait(event),
      () => stream.synchronize(),
      () => launch.launch(stream),
      () => graph.launch(stream),
      () => graph.upload(stream),
      () => module.kernel('another'),
      () => kernel.resources(),
      () => kernel.blocksPerMultiprocessor(64),
      () => buffer.free(),
      () => registered.unregister(),
      () => graph.destroy(),
      () => event.destroy(),
      () => module.unload(),
      () => stream.destroy(),
    ];
    for (const act of acts) {
      log.length = 0;
      await act();
      const calls = log.map(({ call }) => call);
      assert.ok(calls.length >= 2, `${String(act)} made ${calls.join()}`);
      assert.equal(calls[0], 'activate', `${String(act)} made ${calls.join()}`);
    }
    driver.dispose();
    for (const act of [() => launch.launch(stream), () => graph.launch(stream), () => driver.fill(1n, 0, 8, 0n)]) {
      assert.throws(act, DisposedError);
    }
  });

  it('ends a capture whose recording throws, and passes the error on', () => {
    const { runtime, log } = paperRuntime();
    const driver = new NativeGpuDriver(runtime);
    const failure = new Error('recording failed');
    assert.throws(
      () =>
        driver.capture(driver.createStream(), () => {
          throw failure;
        }),
      failure,
    );
    assert.ok(log.some(({ call }) => call === 'captureEnd'));
    assert.ok(!log.some(({ call }) => call === 'graphInstantiate'));
  });

  it('frees once, and refuses work after dispose', () => {
    const { runtime, log } = paperRuntime();
    const driver = new NativeGpuDriver(runtime);
    const buffer = driver.allocate(16);
    const late = driver.allocate(16);
    buffer.free();
    buffer.free();
    assert.equal(log.filter(({ call }) => call === 'free').length, 1);
    driver.dispose();
    driver.dispose();
    assert.equal(log.filter(({ call }) => call === 'close').length, 1);
    late.free();
    assert.equal(log.filter(({ call }) => call === 'free').length, 1);
    assert.throws(() => driver.allocate(16), DisposedError);
  });
});
