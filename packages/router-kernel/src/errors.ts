/**
 * Everything that this package throws on purpose. Each message says what happened, what was found and what to do;
 * `code` is stable and meant for programs.
 */

import { GpuError } from '@switchyard/gpu/errors';

export {
  BackendUnavailableError,
  DeviceError,
  DisposedError,
  GpuError,
  KernelCompileError,
  OutOfDeviceMemoryError,
} from '@switchyard/gpu/errors';

/**
 * The base of every error that a router throws. The errors of the GPU below a router (GpuError and its subclasses) are
 * instances of it too, so that `error instanceof RouterError` holds for all of them.
 */
export class RouterError extends Error {
  /** A stable identifier of the failure, such as `'INVALID_CONFIG'`. */
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    if (this === RouterError && value instanceof GpuError) return true;
    return Function.prototype[Symbol.hasInstance].call(this, value);
  }
}

/** An option of RouterConfig, or of `createRouter`, is out of its limits. Code `INVALID_CONFIG`. */
export class InvalidConfigError extends RouterError {
  /** The option's name. */
  readonly option: string;
  /** The value that was found. */
  readonly received: unknown;

  constructor(option: string, received: unknown, message: string) {
    super('INVALID_CONFIG', message);
    this.option = option;
    this.received = received;
  }
}

/** An argument of a call does not fit the router's configuration. Code `INVALID_ARGUMENT`. */
export class InvalidArgumentError extends RouterError {
  /** The argument's name. */
  readonly argument: string;
  /** The value that was found. */
  readonly received: unknown;

  constructor(argument: string, received: unknown, message: string) {
    super('INVALID_ARGUMENT', message);
    this.argument = argument;
    this.received = received;
  }
}
