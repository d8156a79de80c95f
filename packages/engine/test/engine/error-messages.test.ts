import assert from 'node:assert/strict';
import * as checkErrors from '../../src/device-check/errors.ts';
import * as errors from '../../src/errors.ts';
import * as runnerErrors from '../../src/runners/errors.ts';
import * as hipErrors from '../../src/runners/hip/errors.ts';
import * as nativeErrors from '../../src/runners/native/errors.ts';

const DEMAND = { precision: 'exact', requiredBytes: 2e9, kvCacheBytes: 1e8, fits: false };

/** One of each. */
const ERRORS: readonly errors.EngineError[] = [
  new errors.InvalidRequestError('temperature', '-1', 'give a number from 0 on'),
  new errors.EmptyPromptError(),
  new errors.ContextLengthError(10, 10, 'context'),
  new errors.ContextLengthError(12, 10, 'kv-budget'),
  new errors.QueueFullError(3),
  new errors.AbortedError('Loading'),
  new errors.DisposedError(),
  new errors.WorkerCrashedError('exit code 1', 1),
  new errors.InsufficientMemoryError(
    'gpt-oss-20b',
    DEMAND,
    1e9,
    [{ ...DEMAND, precision: 'int4' }],
    'lower kvCacheBytes',
  ),
  new errors.ForwardError('NaN'),
  new errors.InvalidLogitsError(),
  new errors.DeliveryError('it threw'),
  new errors.UnsupportedError('Audio', 'send text'),
  new errors.IncompleteStreamError(),
  new errors.NoRunnerError([{ runner: 'onnxruntime', error: new errors.UnsupportedError('Audio', 'send text') }]),
  new runnerErrors.UnknownSequenceError(3),
  new runnerErrors.UnknownSamplerError(undefined),
  new runnerErrors.UnknownSamplerError(3),
  new runnerErrors.InvalidStepError('no tokens', 'give some'),
  new runnerErrors.RunnerBusyError('submit()'),
  new runnerErrors.RunnerLibraryError('onnxruntime-node', 'no such module', 'npm install onnxruntime-node@1.0.0'),
  new hipErrors.UnsupportedWeightsError('experts in bf16', 'experts in MXFP4'),
  new runnerErrors.KvCacheFullError(1024),
  new hipErrors.DeviceMemoryError('a GPU', 2e10, 1e10),
  new hipErrors.DeviceHungError('A GPU', 60_000),
  new checkErrors.DeviceCheckFailedError('A GPU', { kind: 'wrong', found: 'another token' }, false),
  new checkErrors.DeviceCheckFailedError('A GPU', { kind: 'hung', found: 'it busy' }, true),
  new checkErrors.DeviceNotCheckedError('A GPU', 'no compiler · tried all · install it'),
  new nativeErrors.NativeLibraryError('darwin, arm64'),
  new nativeErrors.UnsupportedCheckpointError('experts in BF16', 'experts in MXFP4'),
  new nativeErrors.UnsupportedPrecisionError('int4'),
  new nativeErrors.NativeMemoryError('the KV cache'),
];
/** Its whole message is its caller's. */
const FREE_FORM = ['LoadError'];

describe("The engine's errors", () => {
  it('are all looked at here', () => {
    const classes = Object.entries({
      ...errors,
      ...runnerErrors,
      ...hipErrors,
      ...checkErrors,
      ...nativeErrors,
    }).flatMap(([name, value]) =>
      typeof value === 'function' && value !== errors.EngineError && !FREE_FORM.includes(name) ? [name] : [],
    );
    assert.deepEqual([...new Set(ERRORS.map(({ constructor }) => constructor.name))].sort(), classes.sort());
  });

  for (const { name, message, code } of ERRORS) {
    it(`say what happened, what was found and what to do: ${name}, ${message.slice(0, 40)}`, () => {
      const parts = message.split(' · ');
      assert.equal(parts.length, 3, message);
      for (const part of parts) assert.match(part, /^\S.*[^.:\s]$/u);
      assert.match(code, /^[A-Z][A-Z_]+$/u);
    });
  }
});
