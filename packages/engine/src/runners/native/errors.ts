/** Failures of the native runner. */

import { EngineError } from '../../errors.ts';

/** No library of the native runner is for this system or its processor. */
export class NativeLibraryError extends EngineError {
  override readonly name = 'NativeLibraryError';
  readonly code = 'NATIVE_LIBRARY';
  constructor(found: string, cause?: unknown) {
    super(
      `The native runner has no library for this machine · found ${found} · use --runner onnxruntime`,
      cause === undefined ? undefined : { cause },
    );
  }
}

/** A checkpoint that the native runner's kernels are not written for. Nothing was loaded. */
export class UnsupportedCheckpointError extends EngineError {
  override readonly name = 'UnsupportedCheckpointError';
  readonly code = 'UNSUPPORTED_CHECKPOINT';
  constructor(found: string, needed: string) {
    super(
      `The native runner cannot take this checkpoint · found ${found} · it needs ${needed}: use --runner onnxruntime`,
    );
  }
}

/** Experts are to be computed as the native runner does not compute them. Nothing was loaded. */
export class UnsupportedPrecisionError extends EngineError {
  override readonly name = 'UnsupportedPrecisionError';
  readonly code = 'UNSUPPORTED_PRECISION';
  constructor(found: string) {
    super(
      `The native runner computes experts exactly only · found expertPrecision ${found} · leave it out, or use --runner onnxruntime`,
    );
  }
}

/** The system gives no memory. What was computed before stays. */
export class NativeMemoryError extends EngineError {
  override readonly name = 'NativeMemoryError';
  readonly code = 'NATIVE_MEMORY';
  constructor(what: string) {
    super(
      `The native runner gets no memory · found none for ${what} · lower kvCacheBytes (--kv-cache-mib), or free memory`,
    );
  }
}
