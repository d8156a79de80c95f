/// <reference types="@webgpu/types" preserve="true" />
/** What goes wrong on a WebGPU device. */

import { DeviceError, KernelCompileError, OutOfDeviceMemoryError } from '../errors.ts';

/** The GPU device is gone: unplugged, reset by its driver, or destroyed by its owner. */
export class WebGpuDeviceLostError extends DeviceError {
  /** `'destroyed'` where somebody called `destroy()`, else `'unknown'`. */
  readonly reason: string;

  constructor(operation: string, reason: string, message: string, options?: ErrorOptions) {
    const advice =
      reason === 'destroyed'
        ? 'keep the device alive until all that runs on it is disposed of'
        : 'dispose of what ran on it, and make it anew';
    const found = message === '' ? '' : ` (${message})`;
    super('webgpu', operation, 'lost', `The WebGPU device was lost · ${reason}${found} · ${advice}`, options);
    this.reason = reason;
  }
}

/** WebGPU refused a call: an invalid use of a buffer, or a limit of the device. */
export class WebGpuValidationError extends DeviceError {
  constructor(operation: string, message: string, options?: ErrorOptions) {
    super(
      'webgpu',
      operation,
      'validation',
      `WebGPU refused ${operation} · ${message} · check the buffers, their usages and the device's limits`,
      options,
    );
  }
}

/** What an error scope caught, as an error of this package. */
export function fromGpuError(operation: string, requestedBytes: number, error: GPUError): Error {
  // The class is found by its name: in Node the WebGPU classes are no globals.
  const kind = error.constructor.name;
  if (kind === 'GPUOutOfMemoryError') return outOfMemory(requestedBytes, { cause: error });
  if (kind === 'GPUInternalError') {
    return new DeviceError(
      'webgpu',
      operation,
      'internal',
      `The WebGPU implementation failed in ${operation} · ${error.message} · try again, or update browser and driver`,
      { cause: error },
    );
  }
  return new WebGpuValidationError(operation, error.message, { cause: error });
}

/** The GPU cannot give so much memory. */
export function outOfMemory(requestedBytes: number, options?: ErrorOptions): OutOfDeviceMemoryError {
  return new OutOfDeviceMemoryError(
    'webgpu',
    requestedBytes,
    `The WebGPU device is out of memory · it cannot give ${requestedBytes} bytes · ask for less at a time`,
    options,
  );
}

/**
 * A shader did not compile: a defect of this package or of the WebGPU implementation.
 *
 * @param shader whose it is, such as `'the router'`
 */
export function compileFailure(shader: string, device: string, log: string): KernelCompileError {
  return new KernelCompileError(
    device,
    log,
    `The WGSL of ${shader} did not compile on ${device} · ${log} · report it; backend "cpu" does the same work`,
  );
}
