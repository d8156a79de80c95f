import { contain, reasonOf } from './contain.ts';

/** Where the engine writes what it has to say. Messages are for people, fields for programs. What it throws is lost. */
export interface Logger {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

const nothing = (): void => {};

/** The default: says nothing. */
export const SILENT_LOGGER: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };

/** A logger that never throws, whatever the one behind it does: there is nowhere left to say so. */
export function containedLogger(logger: Logger): Logger {
  return {
    debug: (message, fields) => contain(() => logger.debug(message, fields), nothing),
    info: (message, fields) => contain(() => logger.info(message, fields), nothing),
    warn: (message, fields) => contain(() => logger.warn(message, fields), nothing),
    error: (message, fields) => contain(() => logger.error(message, fields), nothing),
  };
}

/** A caller's callback that never throws. What it throws first is logged: it may be called for every token. */
export function containedCallback<Value>(
  name: string,
  callback: (value: Value) => void,
  logger: Logger,
): (value: Value) => void {
  let failed = false;
  const onFailure = (cause: unknown): void => {
    if (!failed) logger.error(`${name} threw`, { reason: reasonOf(cause) });
    failed = true;
  };
  return (value) => contain(() => callback(value), onFailure);
}
