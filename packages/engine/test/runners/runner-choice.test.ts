import assert from 'node:assert/strict';
import { Engine } from '../../src/engine.ts';
import { AbortedError, InvalidRequestError, NoRunnerError } from '../../src/errors.ts';
import { SILENT_LOGGER } from '../../src/logger.ts';
import { firstThatStarts } from '../../src/runners/first-that-starts.ts';
import { AUTOMATIC_RUNNERS, RUNNER_NAMES, runnersToTry } from '../../src/runners/runner-choice.ts';
import { RUNNERS } from '../../src/runners/runner-table.ts';
import { USABLE_LIBRARIES } from './native/usable-libraries.ts';

describe('the choice of a runner', () => {
  it('is the automatic ones where nobody names one, and the one that is named otherwise', () => {
    for (const precision of ['exact', 'int4'] as const) {
      const automatic = AUTOMATIC_RUNNERS[precision];
      assert.deepEqual(runnersToTry(undefined, precision, {}), automatic);
      assert.deepEqual(runnersToTry('auto', precision, { SWITCHYARD_RUNNER: '' }), automatic);
      assert.deepEqual(runnersToTry('auto', precision, { SWITCHYARD_RUNNER: 'auto' }), automatic);
      for (const name of automatic) assert.ok(RUNNERS[name].precisions.includes(precision), name);
    }
    for (const name of RUNNER_NAMES) {
      assert.deepEqual(runnersToTry(name, 'exact', { SWITCHYARD_RUNNER: 'nonsense' }), [name]);
      assert.deepEqual(runnersToTry(undefined, 'exact', { SWITCHYARD_RUNNER: name }), [name]);
    }
  });

  it('names who is wrong: the option or the variable', () => {
    assert.throws(
      () => runnersToTry(undefined, 'exact', { SWITCHYARD_RUNNER: 'cuda' }),
      (error) => {
        assert.ok(error instanceof InvalidRequestError);
        assert.match(error.message, /SWITCHYARD_RUNNER.*"cuda".*give one of auto, native, onnxruntime, hip/);
        return true;
      },
    );
    const wrong = 'cuda' as 'auto';
    assert.throws(() => runnersToTry(wrong, 'exact', {}), { code: 'INVALID_REQUEST', field: 'runner' });
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

  it('takes the first that starts and logs why others were passed over', async () => {
    const logged: unknown[] = [];
    const logger = {
      ...SILENT_LOGGER,
      info: (message: string, fields?: object) => void logged.push([message, fields]),
    };
    const start = (name: string): Promise<string> => (name === 'b' ? Promise.resolve(name) : failing(`no ${name}`)());
    assert.equal(await firstThatStarts(['a', 'b', 'c'], start, logger), 'b');
    assert.deepEqual(logged, [['runner passed over', { runner: 'a', reason: 'no a' }]]);
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
