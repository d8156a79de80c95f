/** Failures of a ModelRunner's caller: steps and sequences that cannot be. */

import { EngineError } from '../errors.ts';

/** A sequence number that this runner did not make, or that was released. */
export class UnknownSequenceError extends EngineError {
  override readonly name = 'UnknownSequenceError';
  readonly code = 'UNKNOWN_SEQUENCE';
  readonly sequence: number;
  constructor(sequence: number) {
    super(
      `There is no such sequence · found number ${sequence} · make one with createSequence(), and use none after its release`,
    );
    this.sequence = sequence;
  }
}

/** A sampler number that this runner did not make, or that was closed, or none where one is needed. */
export class UnknownSamplerError extends EngineError {
  override readonly name = 'UnknownSamplerError';
  readonly code = 'UNKNOWN_SAMPLER';
  readonly sampler: number | undefined;
  constructor(sampler: number | undefined) {
    super(
      `There is no such sampler · found ${sampler === undefined ? 'none' : `number ${sampler}`} · make one with openSampler(), and use none after closeSampler()`,
    );
    this.sampler = sampler;
  }
}

/** A forward step that is wrong in itself. Nothing was computed. */
export class InvalidStepError extends EngineError {
  override readonly name = 'InvalidStepError';
  readonly code = 'INVALID_STEP';
  constructor(found: string, advice: string) {
    super(`The forward step is not valid · found ${found} · ${advice}`);
  }
}

/** A step was started, or the runner's sequences were changed, while another step ran. */
export class RunnerBusyError extends EngineError {
  override readonly name = 'RunnerBusyError';
  readonly code = 'RUNNER_BUSY';
  constructor(call: string) {
    super(`${call} is not possible now · found a forward step still running · await it first`);
  }
}

/** Every KV block is in use. The step was not computed. */
export class KvCacheFullError extends EngineError {
  override readonly name = 'KvCacheFullError';
  readonly code = 'KV_CACHE_FULL';
  constructor(positions: number) {
    super(
      `The KV cache is full · found every block of ${positions} positions in use · release sequences, or raise kvCacheBytes`,
    );
  }
}

/** The library that a runner computes with is not installed, or does not load here. */
export class RunnerLibraryError extends EngineError {
  override readonly name = 'RunnerLibraryError';
  readonly code = 'RUNNER_LIBRARY_MISSING';
  /** The package, such as 'onnxruntime-node'. */
  readonly library: string;
  /** @param command brings it. */
  constructor(library: string, found: string, command: string, cause?: unknown) {
    super(
      `${library} is needed to run models and does not load · found ${found} · run: ${command}`,
      cause === undefined ? undefined : { cause },
    );
    this.library = library;
  }
}
