/** The `router-kernel` command line. */

import { RouterError } from '../errors.ts';
import { describeOptions, UsageError } from './command.ts';
import type { CliCommand, CliIo } from './command.ts';

/** Commands are loaded when they are asked for, so that one whose libraries are absent does not break the others. */
const COMMANDS: Readonly<Record<string, () => Promise<CliCommand>>> = {
  devices: async () => (await import('./devices.ts')).devicesCommand,
  verify: async () => (await import('./verify.ts')).verifyCommand,
  compile: async () => (await import('./compile.ts')).compileCommand,
  bench: async () => (await import('./bench.ts')).benchCommand,
};

/**
 * Runs a command line.
 *
 * @param args what follows the program's name
 * @returns the exit code: 0 done, 1 a runtime error or a mismatch, 2 wrong usage, 130 stopped by Ctrl-C
 */
export async function main(args: readonly string[], io: CliIo): Promise<number> {
  const [name, ...rest] = args;
  try {
    if (name === undefined) {
      io.err(await overview());
      return 2;
    }
    if (name === '--help' || name === '-h' || name === 'help') {
      io.out(await overview());
      return 0;
    }
    const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (load === undefined) {
      throw new UsageError(
        `There is no such command · found '${name}' · use one of ${Object.keys(COMMANDS).join(', ')}`,
      );
    }
    const command = await load();
    if (rest.includes('--help') || rest.includes('-h')) {
      io.out(helpOf(name, command));
      return 0;
    }
    return await command.run(rest, io);
  } catch (error) {
    if (io.signal.aborted) {
      io.err('Stopped.\n');
      return 130;
    }
    if (error instanceof UsageError) {
      const isCommand = name !== undefined && Object.hasOwn(COMMANDS, name);
      io.err(`${error.message}\nSee router-kernel ${isCommand ? `${name} ` : ''}--help.\n`);
      return 2;
    }
    io.err(`${describeError(error)}\n`);
    return 1;
  }
}

async function overview(): Promise<string> {
  const lines = await Promise.all(
    Object.entries(COMMANDS).map(async ([name, load]) => `  ${name.padEnd(8)}  ${(await load()).summary}\n`),
  );
  return `Usage: router-kernel COMMAND [OPTIONS]\n\n${lines.join('')}\nrouter-kernel COMMAND --help lists a command's options.\n`;
}

function helpOf(name: string, command: CliCommand): string {
  return `Usage: router-kernel ${name} [OPTIONS]\n\n${command.summary}\n\n${describeOptions(command.options)}`;
}

/** A refusal of this package by its message; anything else with its stack, since it is a defect. */
function describeError(error: unknown): string {
  if (error instanceof RouterError) return `${error.message} [${error.code}]`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
