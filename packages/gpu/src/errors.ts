/**
 * Everything that this package throws on purpose. Each message says what happened, what was found and what to do;
 * `code` is stable and meant for programs.
 */

export { reasonOf } from './reason-of.ts';

/** The base of every error of this package. */
export class GpuError extends Error {
  /** A stable identifier of the failure, such as `'DEVICE_ERROR'`. */
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** A device, or what was made on it, was used after `dispose()`. Code `DISPOSED`. */
export class DisposedError extends GpuError {
  /** What had been disposed of, such as `'GPU driver (AMD Instinct MI300X)'`. */
  readonly what: string;

  constructor(what: string) {
    super(
      'DISPOSED',
      `The ${what} was used after dispose() · it holds nothing any more · make a new one, or dispose of it later`,
    );
    this.what = what;
  }
}

/** A backend cannot run here: no device, no library, too old a driver. Code `BACKEND_UNAVAILABLE`. */
export class BackendUnavailableError extends GpuError {
  /** `'hip'` (AMD and NVIDIA: the same kernels), `'webgpu'` or `'cpu'`; `'auto'` where none of them could start. */
  readonly backend: string;
  /** What was tried and why each attempt failed, in order. */
  readonly tried: readonly string[];

  constructor(backend: string, message: string, tried: readonly string[] = [], options?: ErrorOptions) {
    super('BACKEND_UNAVAILABLE', message, options);
    this.backend = backend;
    this.tried = tried;
  }
}

/** A call into a driver or a GPU interface failed. Code `DEVICE_ERROR`. */
export class DeviceError extends GpuError {
  /** `'hip'` (AMD and NVIDIA: the same kernels) or `'webgpu'`. */
  readonly backend: string;
  /** The call that failed, such as `'hipModuleLoadData'`. */
  readonly operation: string;
  /** The status that the call returned, as the driver names it; null where there is none. */
  readonly status: string | null;

  constructor(backend: string, operation: string, status: string | null, message: string, options?: ErrorOptions) {
    super('DEVICE_ERROR', message, options);
    this.backend = backend;
    this.operation = operation;
    this.status = status;
  }
}

/** The device has too little free memory. Code `OUT_OF_DEVICE_MEMORY`. */
export class OutOfDeviceMemoryError extends GpuError {
  /** `'hip'` (AMD and NVIDIA: the same kernels) or `'webgpu'`. */
  readonly backend: string;
  /** The bytes that were asked for. */
  readonly requestedBytes: number;

  constructor(backend: string, requestedBytes: number, message: string, options?: ErrorOptions) {
    super('OUT_OF_DEVICE_MEMORY', message, options);
    this.backend = backend;
    this.requestedBytes = requestedBytes;
  }
}

/** A kernel did not compile. Code `KERNEL_COMPILE_FAILED`. */
export class KernelCompileError extends GpuError {
  /** What it was compiled for, such as `'gfx942'`. */
  readonly target: string;
  /** The compiler's own words. */
  readonly log: string;

  constructor(target: string, log: string, message: string, options?: ErrorOptions) {
    super('KERNEL_COMPILE_FAILED', message, options);
    this.target = target;
    this.log = log;
  }
}

/** Figures were to be kept whose answers nobody found right. Code `BENCHMARK_UNCHECKED`. */
export class UncheckedBenchmarkError extends GpuError {
  /** What checks found wrong, in words; empty where nothing was checked. */
  readonly failures: readonly string[];

  constructor(what: string, failures: readonly string[]) {
    const found = failures.length === 0 ? 'no check was run' : `found wrong: ${failures.join(' | ')}`;
    super('BENCHMARK_UNCHECKED', `${what} · ${found} · compare the answers with Benchmark.check() before timing them`);
    this.failures = failures;
  }
}

/** A benchmark's samples say nothing. Code `BENCHMARK_SAMPLES`. */
export class BenchmarkSampleError extends GpuError {
  constructor(found: string) {
    super('BENCHMARK_SAMPLES', `A benchmark's samples say nothing · ${found} · give finite numbers, at least one`);
  }
}
