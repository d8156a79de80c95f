import assert from 'node:assert/strict';
import { NoGpuError } from '@switchyard/gpu';
import { DeviceCheckFailedError, DeviceNotCheckedError } from '../../src/device-check/errors.ts';
import { Engine } from '../../src/engine.ts';
import { AbortedError, InvalidRequestError, NoRunnerError } from '../../src/errors.ts';
import { SILENT_LOGGER } from '../../src/logger.ts';
import { firstThatStarts } from '../../src/runners/first-that-starts.ts';
import { AUTOMATIC_RUNNERS, RUNNER_NAMES, routerWithoutGpu, runnersToTry } from '../../src/runners/runner-choice.ts';
import { RUNNERS } from '../../src/runners/runner-table.ts';
import { USABLE_LIBRARIES } from './native/usable-libraries.ts';

const ANY = { expertPrecision: 'exact', router: 'auto' } as const;

describe('the choice of a runner', () => {
  it('is the automatic ones where nobody names one, and the one that is named otherwise', () => {
    for (const expertPrecision of ['exact', 'int4'] as const) {
      const automatic = AUTOMATIC_RUNNERS[expertPrecision];
      const wishes = { expertPrecision, router: 'auto' } as const;
      assert.deepEqual(runnersToTry(undefined, wishes, {}), automatic);
      assert.deepEqual(runnersToTry('auto', wishes, { SWITCHYARD_RUNNER: '', SWITCHYARD_ROUTER: '' }), automatic);
      assert.deepEqual(runnersToTry('auto', wishes, { SWITCHYARD_RUNNER: 'auto' }), automatic);
      for (const name of automatic) assert.ok(RUNNERS[name].precisions.includes(expertPrecision), name);
    }
    for (const name of RUNNER_NAMES) {
      assert.deepEqual(runnersToTry(name, ANY, { SWITCHYARD_RUNNER: 'nonsense' }), [name]);
      assert.deepEqual(runnersToTry(undefined, ANY, { SWITCHYARD_RUNNER: name }), [name]);
    }
  });

  it('is a GPU first, but where another router is asked for than its own', () => {
    assert.equal(AUTOMATIC_RUNNERS.exact[0], 'hip');
    const onProcessor = AUTOMATIC_RUNNERS.exact.filter((name) => RUNNERS[name].usesGpu !== true);
    for (const router of ['cpu', 'webgpu'] as const) {
      assert.deepEqual(runnersToTry('auto', { ...ANY, router }, {}), onProcessor);
      assert.deepEqual(runnersToTry('auto', ANY, { SWITCHYARD_ROUTER: router }), onProcessor);
      assert.deepEqual(runnersToTry('hip', { ...ANY, router }, {}), ['hip'], 'a name decides');
    }
    assert.deepEqual(runnersToTry('auto', { ...ANY, router: 'hip' }, {}), AUTOMATIC_RUNNERS.exact);
  });

  it('leaves the router on the CPU where the GPU is not to be trusted and nobody asked for another', () => {
    assert.equal(routerWithoutGpu('auto', {}), 'cpu');
    assert.equal(routerWithoutGpu('auto', { SWITCHYARD_ROUTER: 'hip' }), 'auto');
    assert.equal(routerWithoutGpu('webgpu', {}), 'webgpu');
  });

  it('names who is wrong: the option or the variable', () => {
    assert.throws(
      () => runnersToTry(undefined, ANY, { SWITCHYARD_RUNNER: 'cuda' }),
      (error) => {
        assert.ok(error instanceof InvalidRequestError);
        assert.match(error.message, /SWITCHYARD_RUNNER.*"cuda".*give one of auto, native, onnxruntime, hip/);
        return true;
      },
    );
    const wrong = 'cuda' as 'auto';
    assert.throws(() => runnersToTry(wrong, ANY, {}), { code: 'INVALID_REQUEST', field: 'runner' });
  });

  it('has a row in the table for every name', () => {
    assert.deepEqual(Object.keys(RUNNERS), [...RUNNER_NAMES]);
  });

  it('refuses runners and devices that cannot be, before anything is read', async () => {
    await assert.rejects(Engine.load(undefined, { runner: 'nonsense' as 'auto' }), { field: 'runner' });
    for (const device of [-1, 1.5, '', null]) {
      await assert.rejects(Engine.load(undefined, { device: device as number }), { field: 'device' });
    }
  });

  it('runs the model by its name', async () => {
    await using engine = await Engine.load(undefined, { runner: 'onnxruntime', router: 'cpu' });
    assert.equal(engine.model.runner, 'onnxruntime-cpu');
  });

  it('takes the native runner where a library fits, and ONNX Runtime for experts as int4', async function () {
    if (USABLE_LIBRARIES.length === 0) this.skip();
    await using exact = await Engine.load(undefined, { router: 'cpu' });
    assert.match(exact.model.runner, /^native /);
    await using int4 = await Engine.load(undefined, { router: 'cpu', expertPrecision: 'int4' });
    assert.equal(int4.model.runner, 'onnxruntime-cpu');
    await assert.rejects(Engine.load(undefined, { runner: 'native', expertPrecision: 'int4' }), {
      code: 'UNSUPPORTED_PRECISION',
    });
  });

  it('fails a load whose GPU is not there, and says so', async () => {
    await assert.rejects(Engine.load(undefined, { device: 'no such GPU' }), (error) => {
      assert.ok(error instanceof Error);
      assert.match(error.message, /no such GPU|No .*GPU|not available|cannot start/i);
      return true;
    });
  });
});

describe('firstThatStarts', () => {
  const failing = (reason: string) => async (): Promise<string> => {
    throw new Error(reason);
  };

  /** What was logged, with its level. */
  function recordingLogger(): { logger: typeof SILENT_LOGGER; logged: unknown[] } {
    const logged: unknown[] = [];
    const at =
      (level: string) =>
      (...line: readonly unknown[]): void =>
        void logged.push([level, ...line]);
    return { logger: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }, logged };
  }

  it('takes the first that starts and tells why others were passed over', async () => {
    const { logger, logged } = recordingLogger();
    const start = (name: string): Promise<string> => (name === 'b' ? Promise.resolve(name) : failing(`no ${name}`)());
    assert.deepEqual(await firstThatStarts(['a', 'b', 'c'], start, logger), {
      started: 'b',
      passedOver: [{ runner: 'a', code: null, reason: 'no a' }],
    });
    assert.deepEqual(logged, [['info', 'runner passed over', { runner: 'a', reason: 'no a' }]]);
  });

  it('warns of a device that is found wrong now, and keeps one that is not there to the details', async () => {
    const failure = { kind: 'wrong', found: 'nll 3' } as const;
    const errors = {
      absent: new NoGpuError('hip', 'No GPU · none · install one'),
      wrong: new DeviceCheckFailedError('a GPU', failure, false),
      remembered: new DeviceCheckFailedError('a GPU', failure, true),
      small: new DeviceNotCheckedError('a GPU', 'out of memory'),
    };
    const { logger, logged } = recordingLogger();
    const start = async (name: keyof typeof errors | 'cpu'): Promise<string> => {
      if (name === 'cpu') return name;
      throw errors[name];
    };
    const names = ['absent', 'wrong', 'remembered', 'small', 'cpu'] as const;
    const { passedOver } = await firstThatStarts(names, start, logger);
    assert.deepEqual(
      passedOver.map(({ code }) => code),
      ['NO_GPU', 'DEVICE_CHECK_FAILED', 'DEVICE_CHECK_FAILED', 'DEVICE_NOT_CHECKED'],
    );
    assert.deepEqual(
      logged.map((line) => (Array.isArray(line) ? line[0] : line)),
      ['debug', 'warn', 'info', 'info'],
    );
  });

  it('says nothing of a device that is not there where what is there fails', async () => {
    const start = async (name: string): Promise<never> => {
      if (name === 'gpu') throw new NoGpuError('hip', 'No GPU · none · install one');
      throw new InvalidRequestError('device', name, 'give another');
    };
    await assert.rejects(firstThatStarts(['gpu', 'b', 'c'], start, SILENT_LOGGER), {
      code: 'INVALID_REQUEST',
      found: 'b',
    });
    await assert.rejects(firstThatStarts(['gpu', 'gpu'], start, SILENT_LOGGER), NoRunnerError);
  });

  it('throws the first as it is where all fail for one kind of reason', async () => {
    const start = async (name: string): Promise<never> => {
      throw new InvalidRequestError('device', name, 'give another');
    };
    await assert.rejects(firstThatStarts(['a', 'b'], start, SILENT_LOGGER), { code: 'INVALID_REQUEST', found: 'a' });
  });

  it('throws the only one as it is, and all reasons where there are several', async () => {
    await assert.rejects(firstThatStarts(['a'], failing('no a'), SILENT_LOGGER), /^Error: no a$/);
    await assert.rejects(
      firstThatStarts(['a', 'b'], (name) => failing(`no ${name}`)(), SILENT_LOGGER),
      (error) => {
        assert.ok(error instanceof NoRunnerError);
        assert.match(error.message, /a: no a; b: no b/);
        assert.deepEqual(
          error.passedOver.map(({ runner }) => runner),
          ['a', 'b'],
        );
        return true;
      },
    );
  });

  it('tries no other when the load is aborted', async () => {
    const tried: string[] = [];
    const start = async (name: string): Promise<never> => {
      tried.push(name);
      throw new AbortedError('Loading');
    };
    await assert.rejects(firstThatStarts(['a', 'b'], start, SILENT_LOGGER), AbortedError);
    assert.deepEqual(tried, ['a']);
  });
});
