import assert from 'node:assert/strict';
import * as errors from '../src/errors.ts';

describe('the errors of a GPU', () => {
  const examples: readonly (readonly [error: errors.GpuError, code: string])[] = [
    [new errors.DisposedError('driver'), 'DISPOSED'],
    [new errors.BackendUnavailableError('hip', 'none'), 'BACKEND_UNAVAILABLE'],
    [new errors.DeviceError('hip', 'hipMalloc', 'hipErrorUnknown (999)', 'failed'), 'DEVICE_ERROR'],
    [new errors.OutOfDeviceMemoryError('webgpu', 8, 'full'), 'OUT_OF_DEVICE_MEMORY'],
    [new errors.KernelCompileError('gfx942', 'log', 'no'), 'KERNEL_COMPILE_FAILED'],
    [new errors.UncheckedBenchmarkError('bench', []), 'BENCHMARK_UNCHECKED'],
    [new errors.BenchmarkSampleError('none'), 'BENCHMARK_SAMPLES'],
  ];

  it('are every class that the module exports, GpuError itself aside', () => {
    const classes = Object.values(errors).filter((value) => value.prototype instanceof errors.GpuError);
    assert.deepEqual(new Set<unknown>(classes), new Set(examples.map(([error]) => error.constructor)));
  });

  for (const [error, code] of examples) {
    it(`include ${error.name}, a GpuError with a stable code`, () => {
      assert.ok(error instanceof errors.GpuError);
      assert.equal(error.name, error.constructor.name);
      assert.equal(error.code, code);
    });
  }

  it('and whatever else is thrown are put into words', () => {
    assert.equal(errors.reasonOf(new errors.GpuError('X', 'words')), 'words');
    assert.equal(errors.reasonOf('words'), 'words');
    assert.equal(errors.reasonOf(undefined), 'undefined');
    assert.equal(errors.reasonOf(Object.create(null)), 'a value of type object');
  });
});
