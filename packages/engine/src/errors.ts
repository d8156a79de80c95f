/**
 * Every failure that the engine reports. Messages say what happened, what was found and what to do.
 */

import { reasonOf } from './contain.ts';
import { describeBytes } from './describe-bytes.ts';

/** What all errors of the engine share: `code` is stable, the message is for people. */
export abstract class EngineError extends Error {
  abstract readonly code: string;
}

/** A field of a request or an option is wrong. Nothing was started. */
export class InvalidRequestError extends EngineError {
  override readonly name = 'InvalidRequestError';
  readonly code = 'INVALID_REQUEST';
  /** The field, such as `temperature` or `messages[2].content`. */
  readonly field: string;
  readonly found: string;
  readonly advice: string;
  constructor(field: string, found: string, advice: string, options?: ErrorOptions) {
    super(`${field} is not valid · found ${found} · ${advice}`, options);
    this.field = field;
    this.found = found;
    this.advice = advice;
  }
}

/** The prompt has no tokens. */
export class EmptyPromptError extends EngineError {
  override readonly name = 'EmptyPromptError';
  readonly code = 'EMPTY_PROMPT';
  constructor() {
    super('The prompt is empty · found 0 tokens · give at least one message, character or token id');
  }
}

/** Prompt and answer cannot fit the model's context or the KV budget. */
export class ContextLengthError extends EngineError {
  override readonly name = 'ContextLengthError';
  readonly code = 'CONTEXT_LENGTH_EXCEEDED';
  /** Of a longer text, no more than the limit is counted. */
  readonly promptTokens: number;
  /** The most tokens that prompt and answer may have together. */
  readonly limit: number;
  constructor(promptTokens: number, limit: number, limitedBy: 'context' | 'kv-budget') {
    super(
      `The prompt is too long · found ${promptTokens === limit ? `${limit} or more` : promptTokens} tokens where ${
        limitedBy === 'context' ? "the model's context" : 'the KV budget'
      } holds ${limit}, one of them for the answer · shorten the prompt${limitedBy === 'context' ? '' : ' or raise kvCacheBytes'}`,
    );
    this.promptTokens = promptTokens;
    this.limit = limit;
  }
}

/** Too many requests wait already. The request was not taken. */
export class QueueFullError extends EngineError {
  override readonly name = 'QueueFullError';
  readonly code = 'QUEUE_FULL';
  readonly waiting: number;
  constructor(waiting: number) {
    super(`The queue is full · found ${waiting} requests waiting · try again later or raise maxQueue`);
    this.waiting = waiting;
  }
}

/** The caller's AbortSignal fired, or the iterator was closed. */
export class AbortedError extends EngineError {
  override readonly name = 'AbortError';
  readonly code = 'ABORTED';
  constructor(what: string, cause?: unknown) {
    super(`${what} was aborted · its signal fired · nothing to do`, cause === undefined ? undefined : { cause });
  }
}

/** The engine was used after `dispose()`, or disposed while the request ran. */
export class DisposedError extends EngineError {
  override readonly name = 'DisposedError';
  readonly code = 'DISPOSED';
  constructor() {
    super('The engine is disposed · it was closed before or during this call · load a new one');
  }
}

/** The worker that runs the model ended or threw where it must not. Every open request gets this error. */
export class WorkerCrashedError extends EngineError {
  override readonly name = 'WorkerCrashedError';
  readonly code = 'WORKER_CRASHED';
  /** The worker's exit code, or null where it still ran. */
  readonly exitCode: number | null;
  constructor(found: string, exitCode: number | null, cause?: unknown) {
    super(
      `The model's worker stopped · found ${found} · load a new engine; if it happens again, report it with the cause`,
      cause === undefined ? undefined : { cause },
    );
    this.exitCode = exitCode;
  }
}

/** The model could not be loaded: the checkpoint, the runner or the router refused. The reason is the `cause`. */
export class LoadError extends EngineError {
  override readonly name: string = 'LoadError';
  readonly code: string;
  constructor(reason: string, code: string, cause?: unknown) {
    super(reason, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

/** What a model takes with its experts held in one way, in bytes. */
export interface MemoryDemand {
  /** How the experts are held: 'exact' or 'int4'. */
  readonly precision: string;
  /** Weights, and the larger of what loading needs beside them and what running does: workspace and KV cache. */
  readonly requiredBytes: number;
  /** The KV cache in `requiredBytes`: the one asked for, else that of one sequence of 4096 tokens. */
  readonly kvCacheBytes: number;
  readonly fits: boolean;
}

/** The model does not fit the memory that the process may use. Nothing of its weights was read. */
export class InsufficientMemoryError extends LoadError {
  override readonly name = 'InsufficientMemoryError';
  /** What was asked for. */
  readonly demand: MemoryDemand;
  /** What the model may take, in bytes. */
  readonly limitBytes: number;
  /** The same model in the other ways in which it can be held. */
  readonly alternatives: readonly MemoryDemand[];
  constructor(
    model: string,
    demand: MemoryDemand,
    limitBytes: number,
    alternatives: readonly MemoryDemand[],
    kvAdvice: string | null,
  ) {
    const others = alternatives.map(
      ({ precision, requiredBytes, fits }) =>
        `expertPrecision ${precision} (--expert-precision ${precision}) takes ${describeBytes(requiredBytes)}, which ${fits ? 'fits' : 'does not fit either'}`,
    );
    const advice = [
      ...others,
      ...(kvAdvice === null ? [] : [kvAdvice]),
      'give the process more memory, or set memoryLimitBytes (--memory-mib) where you know better',
    ];
    super(
      `${model} does not fit the memory · found that it takes ${describeBytes(demand.requiredBytes)} with ${demand.precision} experts where it may take ${describeBytes(limitBytes)} · ${advice.join('; ')}`,
      'INSUFFICIENT_MEMORY',
    );
    this.demand = demand;
    this.limitBytes = limitBytes;
    this.alternatives = alternatives;
  }
}

/** A forward step of the model failed; the requests of that step got this error, others go on. */
export class ForwardError extends EngineError {
  override readonly name = 'ForwardError';
  readonly code = 'FORWARD_FAILED';
  constructor(found: string, cause?: unknown) {
    super(
      `A forward step failed · found ${found} · send the request again; if it happens again, report it`,
      cause === undefined ? undefined : { cause },
    );
  }
}

/** The model computed no numbers: its weights are damaged, or its runner is wrong. */
export class InvalidLogitsError extends EngineError {
  override readonly name = 'InvalidLogitsError';
  readonly code = 'INVALID_LOGITS';
  constructor() {
    super(
      "The model computed no numbers · found NaN among its logits · the checkpoint's weights are probably damaged: download it again",
    );
  }
}

/** What reads the answer for the caller threw. The request ends here, others go on. */
export class DeliveryError extends EngineError {
  override readonly name = 'DeliveryError';
  readonly code = 'DELIVERY_FAILED';
  constructor(found: string, cause?: unknown) {
    super(
      `The answer could not be delivered · found ${found} · send the request again; if it happens again, report it with the cause`,
      cause === undefined ? undefined : { cause },
    );
  }
}

/** The request asks for something that this engine cannot do. */
export class UnsupportedError extends EngineError {
  override readonly name = 'UnsupportedError';
  readonly code = 'UNSUPPORTED';
  constructor(what: string, advice: string) {
    super(`${what} is not supported · found it in the request · ${advice}`);
  }
}

/** No runner can hold or run the model. */
export class NoRunnerError extends EngineError {
  override readonly name = 'NoRunnerError';
  readonly code = 'NO_RUNNER';
  /** The runners that were tried, and what each of them threw. */
  readonly passedOver: readonly { readonly runner: string; readonly error: unknown }[];
  constructor(passedOver: NoRunnerError['passedOver']) {
    // The messages of errors have this form themselves; inside of one they are read as a list.
    const reasons = passedOver.map(({ runner, error }) => `${runner}: ${reasonOf(error).replaceAll(' · ', ', ')}`);
    super(`No runner could start · found ${reasons.join('; ')} · mend one of them, or name one to hear of it alone`);
    this.passedOver = passedOver;
  }
}

/** A stream of events ended without a `done` event. */
export class IncompleteStreamError extends EngineError {
  override readonly name = 'IncompleteStreamError';
  readonly code = 'INCOMPLETE_STREAM';
  constructor() {
    super("The events ended early · found no 'done' event · give collect the whole iterator of generate");
  }
}
