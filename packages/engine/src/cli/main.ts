/**
 * The `switchyard` command.
 */

import { reasonOf } from '../contain.ts';
import { readFile } from 'node:fs/promises';
import { chatCommand } from './chat-command.ts';
import { generateCommand } from './generate-command.ts';
import { commandHelp, programHelp } from './help.ts';
import { inspectCommand } from './inspect-command.ts';
import { COMMANDS } from './option-table.ts';
import { type OptionValues, parseOptions, UsageError } from './parse-options.ts';
import { scoreCommand } from './score-command.ts';
import { processTerminal, type Terminal } from './terminal.ts';

/** What a command does; its row in the option table says how it is called. */
const RUN: Readonly<Record<string, (values: OptionValues, terminal: Terminal) => Promise<void>>> = {
  generate: generateCommand,
  chat: chatCommand,
  score: scoreCommand,
  inspect: inspectCommand,
  // Loaded when asked for, like the next ones: the other commands need neither an HTTP client, nor the runner suite, nor a server.
  pull: async (values, terminal) => (await import('./pull-command.ts')).pullCommand(values, terminal),
  verify: async (values, terminal) => (await import('./verify-command.ts')).verifyCommand(values, terminal),
  bench: async (values, terminal) => (await import('./bench-command.ts')).benchCommand(values, terminal),
  serve: async (values, terminal) => (await import('./serve-command.ts')).serveCommand(values, terminal),
};

async function writeVersion(terminal: Terminal): Promise<void> {
  const manifest = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
  terminal.output.write(`${(JSON.parse(manifest) as { version: string }).version}\n`);
}

async function dispatch(words: readonly string[], terminal: Terminal): Promise<void> {
  const [name, ...rest] = words;
  if (name === '--help' || name === '-h' || name === 'help') {
    terminal.output.write(programHelp());
    return;
  }
  if (name === '--version') return writeVersion(terminal);
  const command = COMMANDS.find((row) => row.name === name);
  const run = command === undefined ? undefined : RUN[command.name];
  if (command === undefined || run === undefined) {
    const found = name === undefined ? 'no command' : JSON.stringify(name);
    throw new UsageError(`There is no such command · found ${found} · see switchyard --help`);
  }
  const values = parseOptions(command, rest);
  if (values.flag('help')) terminal.output.write(commandHelp(command));
  else if (values.flag('version')) await writeVersion(terminal);
  else await run(values, terminal);
}

/** Runs one command and returns the exit code: 0 done, 1 runtime error, 2 wrong usage. */
export async function main(words: readonly string[], terminal: Terminal = processTerminal()): Promise<number> {
  try {
    await dispatch(words, terminal);
    return 0;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? ` [${String(error.code)}]` : '';
    terminal.error.write(`switchyard: ${reasonOf(error)}${code}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
}
