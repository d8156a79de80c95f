/**
 * How the worker gets its ModelRunner: a module that makes one. Tests inject their own.
 */

import type { Snapshot } from '@switchyard/models';
import type { Logger } from '../logger.ts';
import type { LoadingStep } from './load-plan.ts';
import type { LogitsRunner } from './logits-runner.ts';
import type { ModelRunner } from './runner.ts';

/** How MXFP4 expert weights are computed with: their exact values, or 4-bit integers near them (faster, lossy). */
export type ExpertPrecision = 'exact' | 'int4';

/**
 * What activations are rounded to by a runner with matrix units in steps of many tokens of a sequence, such as long prompts:
 * to bf16, as the published matrices are, or to no less than in other steps, 16 bits of significand or more. Keys and values
 * are kept in 16 bits with the first, in f32 with the second. Other runners compute in f32 with both.
 */
export type Activations = 'bf16' | 'exact';

/** Which router stands between gate projection and dispatch; what `'auto'` takes is the runner's choice (ONNX Runtime's: HIP where it starts, else the CPU). */
export type RouterChoice = 'auto' | 'cpu' | 'hip' | 'webgpu';

/** What a runner module gets. */
export interface RunnerModuleOptions {
  /** Open until the runner is disposed. */
  readonly snapshot: Snapshot;
  readonly expertPrecision: ExpertPrecision;
  readonly activations: Activations;
  /** Threads to compute with; undefined leaves it to the runner. */
  readonly threads: number | undefined;
  readonly router: RouterChoice;
  /** `EngineOptions.device`. */
  readonly device: number | string | undefined;
  /** KV memory that the sequences in use will have together, in bytes: `MemoryPlan.kvBytes` of each, added up. */
  readonly kvCacheBytes: number;
  readonly logger: Required<Logger>;
  /**
   * To be called as often as there is something to tell, at best a few times a second: with the part done, 0 to 1, or
   * with a step in bytes and milliseconds. Throws AbortedError when the load is to end: let it through.
   */
  readonly onProgress: (progress: number | LoadingStep) => void;
  /** `EngineOptions.runnerOptions`, as it came through a structured clone. */
  readonly runnerOptions: unknown;
}

/** What a runner module exports. */
export interface RunnerModule {
  /** A runner that chooses its own tokens, or one that leaves its logits in host memory: then they are chosen there. */
  createRunner(options: RunnerModuleOptions): Promise<ModelRunner | LogitsRunner>;
}
