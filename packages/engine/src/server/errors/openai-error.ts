/**
 * Failures as OpenAI's clients expect them: an HTTP status and `{error: {message, type, param, code}}`.
 */

import { reasonOf } from '../../contain.ts';
import { ModelsError, TooManyTokensError } from '@switchyard/models';
import {
  AbortedError,
  ContextLengthError,
  DisposedError,
  EmptyPromptError,
  EngineError,
  InvalidRequestError,
  LoadError,
  QueueFullError,
  UnsupportedError,
  WorkerCrashedError,
} from '../../errors.ts';

/** Statuses of failed requests. 499 (the client went away) is only ever seen in logs and metrics. */
export type ErrorStatus = 400 | 401 | 404 | 405 | 408 | 413 | 415 | 417 | 429 | 499 | 500 | 503;

/** The body of a failed request. */
export interface OpenAiErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    /** The field of the request that is wrong, or null. */
    readonly param: string | null;
    readonly code: string | null;
  };
}

const TYPES: Readonly<Record<ErrorStatus, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  404: 'not_found_error',
  405: 'invalid_request_error',
  408: 'timeout_error',
  413: 'invalid_request_error',
  415: 'invalid_request_error',
  417: 'invalid_request_error',
  429: 'rate_limit_error',
  499: 'client_closed_request',
  500: 'server_error',
  503: 'unavailable_error',
};

/** A request that cannot be answered, with everything that the answer needs. */
export class OpenAiError extends EngineError {
  override readonly name = 'OpenAiError';
  readonly code: string;
  readonly status: ErrorStatus;
  readonly param: string | null;
  /** Seconds for the Retry-After header, or null. */
  readonly retryAfter: number | null;
  readonly #type: string;

  /** `details.type`: where OpenAI has another than the status's own. */
  constructor(
    status: ErrorStatus,
    message: string,
    details: { param?: string | null; code?: string; type?: string; retryAfter?: number; cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.status = status;
    this.code = details.code ?? TYPES[status];
    this.param = details.param ?? null;
    this.retryAfter = details.retryAfter ?? null;
    this.#type = details.type ?? TYPES[status];
  }

  get body(): OpenAiErrorBody {
    return { error: { message: this.message, type: this.#type, param: this.param, code: this.code } };
  }
}

/** A 400 that names the field. */
export function badRequest(param: string | null, message: string, code = 'invalid_value'): OpenAiError {
  return new OpenAiError(400, message, { param, code });
}

/** What the harmony renderer refuses in a conversation, by code. */
const CONVERSATION_FAULTS: Readonly<Record<string, string>> = {
  INVALID_TOOL_NAME: 'tools',
  DUPLICATE_TOOL: 'tools',
  UNKNOWN_TOOL_RESULT: 'messages',
  MISSING_TOOL_RESULT: 'messages',
};

/** The engine's fields that an API keeps elsewhere: the start of the engine's name by the start of the request's. */
export type FieldNames = readonly (readonly [engine: RegExp, request: string])[];

/** The engine's field by its name in the HTTP API: `topP` as `top_p`. */
function parameterName(field: string, names: FieldNames): string {
  for (const [engine, request] of names) if (engine.test(field)) return field.replace(engine, request);
  return field.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

const RETRY_SOON = 1;
const RETRY_AFTER_RESTART = 5;

/**
 * Anything thrown while a request was served, as the answer that its client gets.
 *
 * @param names What the request's API calls the engine's fields, where more than the spelling differs.
 */
export function toOpenAiError(error: unknown, names: FieldNames = []): OpenAiError {
  if (error instanceof OpenAiError) return error;
  if (error instanceof InvalidRequestError) {
    const field = parameterName(error.field, names);
    return badRequest(field, `${field} is not valid · found ${error.found} · ${error.advice}`);
  }
  const prompt = parameterName('messages', names);
  if (error instanceof EmptyPromptError) return badRequest(prompt, error.message, 'empty_prompt');
  if (error instanceof ContextLengthError) return badRequest(prompt, error.message, 'context_length_exceeded');
  if (error instanceof TooManyTokensError) return badRequest(prompt, error.message, 'context_length_exceeded');
  if (error instanceof UnsupportedError) return badRequest(null, error.message, 'unsupported');
  if (error instanceof ModelsError && Object.hasOwn(CONVERSATION_FAULTS, error.code)) {
    const field = parameterName(CONVERSATION_FAULTS[error.code] ?? '', names);
    return badRequest(field, error.message, error.code.toLowerCase());
  }
  if (error instanceof QueueFullError) {
    return new OpenAiError(429, error.message, { code: 'queue_full', retryAfter: RETRY_SOON, cause: error });
  }
  if (error instanceof WorkerCrashedError) {
    return new OpenAiError(503, error.message, {
      code: 'worker_crashed',
      retryAfter: RETRY_AFTER_RESTART,
      cause: error,
    });
  }
  if (error instanceof DisposedError || error instanceof LoadError) {
    return new OpenAiError(503, error.message, { code: 'unavailable', retryAfter: RETRY_AFTER_RESTART, cause: error });
  }
  if (error instanceof AbortedError) {
    return new OpenAiError(499, error.message, { code: 'client_closed_request', cause: error });
  }
  const reason = reasonOf(error);
  return new OpenAiError(500, `The request failed · found ${reason} · send it again; if it happens again, report it`, {
    code: error instanceof EngineError ? error.code.toLowerCase() : 'internal_error',
    cause: error,
  });
}
