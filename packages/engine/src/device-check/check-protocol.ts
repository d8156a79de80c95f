/** The messages between a load and the process that checks its device. All of them survive a structured clone. */

import type { Activations } from '../runners/runner-module.ts';
import type { SerializedError } from '../serialized-error.ts';
import type { CheckName, CheckResult } from './check-result.ts';

/** What is to be checked. */
export interface CheckTask {
  /** `EngineOptions.device`. */
  readonly device: number | string | undefined;
  readonly activations: Activations;
  /** In this order. */
  readonly checks: readonly CheckName[];
  /** The checkpoint's folder, for the check of its shape. */
  readonly path: string;
}

/** What a check is at: getting ready (compiling kernels, loading, the reference), or at work on the device. */
export type CheckPhase = 'ready' | 'device';

export type FromCheck =
  | { readonly type: 'phase'; readonly check: CheckName; readonly phase: CheckPhase }
  | { readonly type: 'checked'; readonly check: CheckName; readonly result: CheckResult }
  | { readonly type: 'failed'; readonly error: SerializedError };
