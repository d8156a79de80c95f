/**
 * What a command logs, on the terminal's error stream: standard output stays for what it was asked for.
 */

import { pino } from 'pino';
import type { Logger } from '../logger.ts';
import { dim, type Terminal } from './terminal.ts';

type Level = keyof Logger;
/** From the least to the most important, as in `--log-level`. */
const LEVELS: readonly Level[] = ['debug', 'info', 'warn', 'error'];

/**
 * Lines to read where a person looks, else JSON lines for what collects logs.
 *
 * @param level the least important level that is logged; `'silent'` logs nothing
 */
export function commandLogger(level: string, terminal: Terminal): Required<Logger> {
  const write = terminal.liveColumns === undefined ? jsonLines(level, terminal) : textLines(level, terminal);
  return {
    debug: (message, fields) => write('debug', message, fields),
    info: (message, fields) => write('info', message, fields),
    warn: (message, fields) => write('warn', message, fields),
    error: (message, fields) => write('error', message, fields),
  };
}

type Write = (level: Level, message: string, fields?: Readonly<Record<string, unknown>>) => void;

function jsonLines(level: string, terminal: Terminal): Write {
  const sink = pino({ level }, { write: (line: string) => terminal.error.write(line) });
  return (of, message, fields) => sink[of](fields ?? {}, message);
}

/** Such as `21:04:11 warn  the queue is full  waiting=256`. */
function textLines(level: string, terminal: Terminal): Write {
  const least = level === 'silent' ? LEVELS.length : LEVELS.indexOf(level as Level);
  return (of, message, fields = {}) => {
    if (LEVELS.indexOf(of) < least) return;
    const time = new Date().toTimeString().slice(0, 8);
    const details = Object.entries(fields).map(([name, value]) => `${name}=${fieldText(value)}`);
    const shown = details.length === 0 ? '' : `  ${dim(terminal, details.join(' '))}`;
    terminal.error.write(`${dim(terminal, time)} ${of.padEnd(5)} ${message}${shown}\n`);
  };
}

function fieldText(value: unknown): string {
  if (value instanceof Error) return fieldText(value.message);
  // No line of a log may become two.
  return typeof value === 'string' && !/[\s"]/.test(value) ? value : (JSON.stringify(value) ?? String(value));
}
