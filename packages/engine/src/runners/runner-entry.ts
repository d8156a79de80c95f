/**
 * What is known of a runner before its library is loaded.
 */

import type { GptOssConfig } from '@switchyard/models';
import type { ProcessMemory } from '../memory/process-memory.ts';
import type { LoadPlan } from './load-plan.ts';
import type { Activations, ExpertPrecision, RunnerModule } from './runner-module.ts';

/** What changes the memory that a runner takes. */
export interface MemoryPlanOptions {
  readonly expertPrecision: ExpertPrecision;
  readonly activations: Activations;
  /** The most prompt tokens of a step. */
  readonly prefillChunk: number;
  /** The most sequences of a step. */
  readonly maxSequences: number;
}

/** One runner that the engine can load a model into. */
export interface RunnerEntry {
  /** How it can compute MXFP4 experts. */
  readonly precisions: readonly ExpertPrecision[];
  /**
   * Throws, within a few milliseconds and loading nothing, where its device cannot be here. Asked only where the runner is not
   * named: who names it hears what its library says.
   */
  assertPresent?(): void;
  /** Throws where it cannot run on this machine, whatever the model. Not there where only loading tells. */
  assertUsable?(): Promise<void>;
  /** What loading will take, from the configuration alone. */
  planMemory(config: GptOssConfig, options: MemoryPlanOptions): LoadPlan;
  /** Largest difference of a logit of the embedded model between kinds of step: a token computed in decode, in prefill, in pieces. */
  readonly betweenKinds: number;
  /** Prompt tokens of a step where nobody says how many. */
  readonly prefillChunk: number;
  /** KV bytes of one sequence by its tokens. */
  kvBytes(config: GptOssConfig, activations: Activations): (tokens: number) => number;
  /**
   * The memory of the device that it would use; null where that is not known. Throws where there is no such device.
   *
   * @param device `EngineOptions.device`
   */
  deviceMemory(device?: number | string): Promise<ProcessMemory | null>;
  /** Whether it computes in the memory of a GPU, of which there may be several. Default false: in the process's own. */
  readonly usesGpu?: boolean;
  /** Loads it, with its library. Throws where that is not there. */
  load(): Promise<RunnerModule>;
}
