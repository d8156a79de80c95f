import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GpuDeviceInfo } from '@switchyard/gpu';
import { type Snapshot, openSnapshot } from '@switchyard/models';
import {
  type DeviceCheckOptions,
  assertChecked,
  checksFor,
  describeCheckedDevice,
  deviceStanding,
} from '../../src/device-check/assert-checked.ts';
import { CheckRecords } from '../../src/device-check/check-records.ts';
import type { CheckFailure } from '../../src/device-check/check-result.ts';
import type { CheckTask } from '../../src/device-check/check-protocol.ts';
import { DeviceCheckFailedError, DeviceNotCheckedError } from '../../src/device-check/errors.ts';
import { rememberVerified } from '../../src/device-check/remember-verified.ts';
import { AbortedError } from '../../src/errors.ts';
import { SILENT_LOGGER } from '../../src/logger.ts';
import { UnsupportedWeightsError } from '../../src/runners/hip/errors.ts';

const GPU: GpuDeviceInfo = {
  platform: 'amd',
  index: 0,
  name: 'Paper GPU',
  architecture: 'gfx942',
  waveSize: 64,
  multiprocessors: 304,
  l2CacheBytes: 0,
  memoryBytes: 2 ** 37,
  sharedBytesPerBlock: 65_536,
  isIntegrated: false,
  driverVersion: '70051831',
  library: 'paper',
};

describe('a GPU that nobody named', () => {
  let snapshot: Snapshot;
  let folder = '';
  before(async () => {
    snapshot = await openSnapshot();
  });
  after(() => snapshot.dispose());
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'switchyard-checked-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** A load, whose checks find what is given, and the tasks that were run. */
  function load(failures: Partial<Record<string, CheckFailure>> = {}, changes: Partial<DeviceCheckOptions> = {}) {
    const tasks: CheckTask[] = [];
    const options: DeviceCheckOptions = {
      device: undefined,
      activations: 'bf16',
      logger: SILENT_LOGGER,
      folder,
      findDevice: () => GPU,
      run: async (task) => {
        tasks.push(task);
        return task.checks.map((check) => [check, { cases: 5, milliseconds: 90, failure: failures[check] ?? null }]);
      },
      ...changes,
    };
    return { tasks, options, check: (of: Snapshot = snapshot) => assertChecked(of, options) };
  }

  it('is checked once, by the golden steps of the embedded model', async () => {
    const { tasks, options, check } = load();
    assert.deepEqual(await deviceStanding(snapshot.config, options), { state: 'unchecked' });
    await check();
    await check();
    await load().check();
    assert.deepEqual(tasks, [{ device: undefined, activations: 'bf16', path: snapshot.path, checks: ['golden'] }]);
    assert.deepEqual(await deviceStanding(snapshot.config, options), { state: 'passed' });
  });

  it('may be checked by several loads at once', async () => {
    const loads = Array.from({ length: 3 }, () => load());
    await Promise.all(loads.map(({ check }) => check()));
    assert.deepEqual(await deviceStanding(snapshot.config, load().options), { state: 'passed' });
  });

  it('is checked again with another driver, device, set of kernels, or rounding', async () => {
    await load().check();
    const others: readonly Partial<DeviceCheckOptions>[] = [
      { findDevice: () => ({ ...GPU, driverVersion: '70151831' }) },
      { findDevice: () => ({ ...GPU, architecture: 'gfx950' }) },
      { findDevice: () => ({ ...GPU, multiprocessors: 38 }) },
      { activations: 'exact' },
    ];
    for (const changes of others) {
      const { tasks, check } = load({}, changes);
      await check();
      assert.equal(tasks.length, 1);
    }
    const moved = load({}, { findDevice: () => ({ ...GPU, index: 3, library: 'another' }) });
    await moved.check();
    assert.deepEqual(moved.tasks, [], 'where it is plugged in does not matter');
  });

  it('is checked with the kernels of the shape too, where that is not the embedded one', async () => {
    const wider = { ...snapshot, config: { ...snapshot.config, slidingWindow: 64 } };
    const first = load();
    await first.check(wider);
    assert.deepEqual(first.tasks[0]?.checks, ['golden', 'shape']);
    const second = load();
    await second.check();
    await second.check({ ...snapshot, config: { ...snapshot.config, slidingWindow: 32 } });
    assert.deepEqual(
      second.tasks.map(({ checks }) => checks),
      [['shape']],
    );
  });

  for (const kind of ['wrong', 'hung', 'ended'] as const) {
    it(`is not taken where the check finds it ${kind}, nor tried again`, async () => {
      const failure = { kind, found: 'prompt 0 · 17' };
      const first = load({ golden: failure });
      await assert.rejects(first.check(), (error) => {
        assert.ok(error instanceof DeviceCheckFailedError);
        assert.deepEqual([error.failure, error.remembered], [failure, false]);
        assert.match(
          error.message,
          /^Paper GPU \(gfx942, driver 70051831\) .* · found prompt 0, 17 · .*verify --runner hip/,
        );
        return true;
      });
      const again = load();
      await assert.rejects(again.check(), { code: 'DEVICE_CHECK_FAILED', remembered: true });
      assert.deepEqual(again.tasks, []);
      const standing = await deviceStanding(snapshot.config, again.options);
      assert.equal(standing.state, 'failed');
    });
  }

  it('passes for the embedded model where another shape fails', async () => {
    const wider = { ...snapshot, config: { ...snapshot.config, slidingWindow: 64 } };
    const failing = load({ shape: { kind: 'wrong', found: 'token 1' } });
    await assert.rejects(failing.check(wider), DeviceCheckFailedError);
    const after = load();
    await after.check();
    await assert.rejects(after.check(wider), { remembered: true });
    assert.deepEqual(after.tasks, []);
  });

  it('is tried again at the next load where the check could not be run', async () => {
    const run = async (): Promise<never> => {
      throw new Error('out of memory');
    };
    await assert.rejects(load({}, { run }).check(), (error) => {
      assert.ok(error instanceof DeviceNotCheckedError);
      assert.match(error.message, /Paper GPU.*could not be checked · found out of memory · .*--runner hip/);
      return true;
    });
    const aborted = async (): Promise<never> => {
      throw new AbortedError('Loading');
    };
    await assert.rejects(load({}, { run: aborted }).check(), AbortedError);
    const { tasks, check } = load();
    await check();
    assert.equal(tasks.length, 1);
  });

  it('needs no check for a checkpoint that its kernels are not written for', async () => {
    const { tasks, check } = load();
    await assert.rejects(check({ ...snapshot, config: { ...snapshot.config, headDim: 128 } }), UnsupportedWeightsError);
    assert.deepEqual(tasks, []);
  });
});

describe('what verify finds', () => {
  it('takes the place of what checks found before, and has other models checked again where all is right', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'switchyard-verified-'));
    using snapshot = await openSnapshot();
    const { config } = snapshot;
    const wider = { ...config, slidingWindow: 64 };
    const standingOf = async (of: typeof config, activations: 'exact' | 'bf16' = 'bf16'): Promise<string> => {
      const options = { device: undefined, activations, logger: SILENT_LOGGER, folder, findDevice: () => GPU };
      return (await deviceStanding(of, options)).state;
    };
    try {
      const records = new CheckRecords(SILENT_LOGGER, folder);
      const failed = { cases: 1, milliseconds: 1, failure: { kind: 'wrong', found: 'token 1' } } as const;
      const device = describeCheckedDevice(GPU);
      for (const { check, key } of checksFor(GPU, wider, config, 'bf16')) {
        await records.write({ check, key, device, model: 'a model', ...failed });
      }
      assert.equal(await standingOf(config), 'failed');
      const right = { cases: 60, failures: [] };
      const wrong = { cases: 7, failures: [{ section: 'golden answers', name: 'prompt 1', problem: 'nll 3' }] };
      const verified = { info: GPU, config, logger: SILENT_LOGGER, folder };
      await rememberVerified({ ...verified, exact: right, rounded: wrong });
      assert.deepEqual([await standingOf(config), await standingOf(config, 'exact')], ['failed', 'passed']);
      assert.equal((await records.find(checksFor(GPU, wider, config, 'bf16')[1]?.key ?? ''))?.failure?.kind, 'wrong');
      await rememberVerified({ ...verified, exact: right, rounded: right });
      assert.deepEqual([await standingOf(config), await standingOf(wider)], ['passed', 'unchecked']);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
