import assert from 'node:assert/strict';
import * as fromGpu from '@switchyard/gpu/errors';
import * as errors from '../src/errors.ts';

describe('RouterError', () => {
  it('is the class of every error that a router throws, its own and those of the GPU below', () => {
    const thrown = [
      new errors.InvalidConfigError('topK', 9, 'too many'),
      new errors.InvalidArgumentError('logits', null, 'none'),
      new fromGpu.DisposedError('router'),
      new fromGpu.BackendUnavailableError('hip', 'none'),
      new fromGpu.DeviceError('hip', 'hipMalloc', null, 'failed'),
      new fromGpu.OutOfDeviceMemoryError('hip', 8, 'full'),
      new fromGpu.KernelCompileError('gfx942', '', 'no'),
    ];
    for (const error of thrown) assert.ok(error instanceof errors.RouterError, error.name);
  });

  it('is not the class of other errors', () => {
    for (const other of [new Error('other'), new TypeError('other'), null, undefined, 'text', { code: 'DISPOSED' }]) {
      assert.ok(!(other instanceof errors.RouterError));
    }
  });

  it('leaves its subclasses apart from each other and from the errors of the GPU', () => {
    const config = new errors.InvalidConfigError('topK', 9, 'too many');
    assert.ok(config instanceof errors.InvalidConfigError);
    assert.ok(!(config instanceof errors.InvalidArgumentError));
    assert.ok(!(config instanceof fromGpu.GpuError));
    assert.ok(!(new fromGpu.DisposedError('router') instanceof errors.InvalidConfigError));
  });

  it('comes with the same classes that the GPU throws, but for those of benchmarks', () => {
    const { UncheckedBenchmarkError: _, BenchmarkSampleError: __, reasonOf: ___, ...ofRouters } = fromGpu;
    assert.equal(Object.keys(ofRouters).length, Object.keys(fromGpu).length - 3);
    for (const [name, type] of Object.entries(ofRouters)) assert.equal(Reflect.get(errors, name), type, name);
  });
});
