/**
 * Errors across the border of a thread: a structured clone keeps the message of an Error and loses its code.
 */

import { reasonOf } from './contain.ts';

/** What is kept of an error. */
export interface SerializedError {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly code: string | undefined;
  readonly cause: SerializedError | undefined;
}

/** Causes are kept this deep; a chain that loops ends there. */
const DEEPEST_CAUSE = 4;

export function serializeError(error: unknown, depth = 0): SerializedError {
  if (!(error instanceof Error)) {
    return { name: 'Error', message: reasonOf(error), stack: undefined, code: undefined, cause: undefined };
  }
  const code: unknown = 'code' in error ? error.code : undefined;
  return {
    name: error.name,
    message: error.message,
    stack: error.stack,
    code: typeof code === 'string' ? code : undefined,
    cause: error.cause === undefined || depth >= DEEPEST_CAUSE ? undefined : serializeError(error.cause, depth + 1),
  };
}

/** An error that looks like the one that was sent: name, message, stack, code and causes. */
export function deserializeError(from: SerializedError): Error {
  const error = new Error(from.message, from.cause === undefined ? undefined : { cause: deserializeError(from.cause) });
  error.name = from.name;
  if (from.stack !== undefined) error.stack = from.stack;
  if (from.code !== undefined) Object.assign(error, { code: from.code });
  return error;
}
