import assert from 'node:assert/strict';
import { DeviceError, DisposedError, OutOfDeviceMemoryError } from '../../src/errors.ts';
import { viewOf } from '../../src/driver/native-memory.ts';
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
    const launch = driver.prepareLaunch(kernel, 128, 80);
    assert.equal(launch.arguments.byteLength, 80);
    launch.gridSize = 7;
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
    const launch = driver.prepareLaunch(driver.loadModule(new Uint8Array(64)).kernel('route'), 128, 80);
    launch.gridSize = 7;
    launch.overlapsKernelBefore = true;
    launch.launch(99n);
    assert.deepEqual(seen, [{ grid: 7, block: 128, stream: 99n, attribute: [1, 6, 1] }]);
    assert.ok(!log.some(({ call }) => call === 'launch'));
    launch.overlapsKernelBefore = false;
    launch.launch(99n);
    assert.equal(log.at(-1)?.call, 'launch');
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
