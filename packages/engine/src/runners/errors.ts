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

/** A fork asks for a position whose keys and values a sliding-window layer has dropped. */
export class KvHistoryGoneError extends EngineError {
  override readonly name = 'KvHistoryGoneError';
  readonly code = 'KV_HISTORY_GONE';
  /** The length asked for. */
  readonly length: number;
  /** The shortest length that the sequence can still be forked at, 0 apart. */
  readonly shortest: number;
  constructor(length: number, shortest: number) {
    super(
      `The sequence cannot be forked there · found length ${length} where the window's history starts at ${shortest} · fork while the sequence is still near that length, or prefill anew`,
    );
    this.length = length;
    this.shortest = shortest;
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

/** The library that a runner computes with is not installed, or does not load here. */
export class RunnerLibraryError extends EngineError {
  override readonly name = 'RunnerLibraryError';
  readonly code = 'RUNNER_LIBRARY_MISSING';
  /** The package, such as 'onnxruntime-node'. */
  readonly library: string;
  constructor(library: string, found: string, cause?: unknown) {
    super(
      `${library} is needed to run models and does not load · found ${found} · run: npm install ${library} --ignore-scripts`,
      cause === undefined ? undefined : { cause },
    );
    this.library = library;
  }
}
