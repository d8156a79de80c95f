import assert from 'node:assert/strict';
import * as driver from '../src/driver/errors.ts';
import { DisposedError } from '../src/errors.ts';
import * as webgpu from '../src/webgpu/errors.ts';

/** Stands for an error that WebGPU made: a message and a class of that name. */
function gpuError(name: string, message: string): GPUError {
  return Object.assign(Object.create({ constructor: { name } }) as object, { message }) as GPUError;
}

const ERRORS: readonly Error[] = [
  new DisposedError('GPU driver (AMD Instinct MI300X)'),
  new driver.GpuLibraryNotFoundError('the AMD HIP runtime', ['libamdhip64.so'], 'install ROCm'),
  new driver.DriverTooOldError('libcuda.so', ['cuGraphUpload'], 'update the driver'),
  new driver.UnknownArchitectureError('gfx9999', 'hipRTC', []),
  new driver.UnknownArchitectureError('gfx9999', 'hipRTC', ['gfx942']),
  new driver.UnsupportedArchitectureError('gfx803'),
  new webgpu.WebGpuDeviceLostError('route', 'unknown', ''),
  new webgpu.WebGpuDeviceLostError('route', 'destroyed', 'by its owner'),
  new webgpu.WebGpuValidationError('route', 'the buffer is mapped'),
  webgpu.fromGpuError('route', 8, gpuError('GPUOutOfMemoryError', 'full')),
  webgpu.fromGpuError('route', 8, gpuError('GPUInternalError', 'it broke')),
  webgpu.fromGpuError('route', 8, gpuError('GPUValidationError', 'no')),
  webgpu.compileFailure('the router', 'SwiftShader', 'line 3'),
];

describe('the messages of GPU errors', () => {
  for (const { name, message } of ERRORS) {
    it(`say what happened, what was found and what to do: ${name}, ${message.slice(0, 40)}`, () => {
      const parts = message.split(' · ');
      assert.equal(parts.length, 3, message);
      for (const part of parts) assert.match(part, /^\S.*[^.:\s]$/u);
    });
  }
});
