import type { Logger } from '@switchyard/gpu/logger';
import { contain, reasonOf } from './contain.ts';

export type { Logger };

const nothing = (): void => {};

/** The default: says nothing. */
export const SILENT_LOGGER: Required<Logger> = { debug: nothing, info: nothing, warn: nothing, error: nothing };

/** A logger that has every method and never throws, whatever the one behind it does: there is nowhere left to say so. */
export function containedLogger(logger: Logger): Required<Logger> {
  return {
    debug: (message, fields) => contain(() => logger.debug?.(message, fields), nothing),
    info: (message, fields) => contain(() => logger.info?.(message, fields), nothing),
    warn: (message, fields) => contain(() => logger.warn?.(message, fields), nothing),
    error: (message, fields) => contain(() => logger.error?.(message, fields), nothing),
  };
}

/** A caller's callback that never throws. What it throws first is logged: it may be called for every token. */
export function containedCallback<Value>(
  name: string,
  callback: (value: Value) => void,
  logger: Required<Logger>,
): (value: Value) => void {
  let failed = false;
  const onFailure = (cause: unknown): void => {
    if (!failed) logger.error(`${name} threw`, { reason: reasonOf(cause) });
    failed = true;
  };
  return (value) => contain(() => callback(value), onFailure);
}
