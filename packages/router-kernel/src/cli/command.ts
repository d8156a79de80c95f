/** What a command of the CLI is, and how its option table becomes values and help text. */

import { parseArgs } from 'node:util';
import { reasonOf } from '@switchyard/gpu/errors';
import { RouterError } from '../errors.ts';

/** One option. The table of these feeds both the parser and `--help`. */
export interface CliOption {
  readonly type: 'string' | 'boolean';
  readonly description: string;
  /** What stands for the value in the help, such as `FILE`. Defaults to the choices, or to `VALUE`. */
  readonly placeholder?: string;
  /** The only values that a string may have. */
  readonly choices?: readonly string[];
  /** Of a string. A boolean is false unless it is given. */
  readonly default?: string;
  /** Whether a string must be given. */
  readonly required?: boolean;
}

export type OptionTable = Readonly<Record<string, CliOption>>;

type ValueOf<Option extends CliOption> = Option['type'] extends 'boolean'
  ? boolean
  :
      | (Option extends { readonly choices: readonly (infer Choice extends string)[] } ? Choice : string)
      | (Option extends { readonly default: string } | { readonly required: true } ? never : undefined);

/** The values of a table's options. */
export type ValuesOf<Table extends OptionTable> = { readonly [Name in keyof Table]: ValueOf<Table[Name]> };

/** Where a command writes, and what stops it. */
export interface CliIo {
  /** Writes text as it is; the caller ends lines. */
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}

/** A command, ready to run on the arguments that follow its name. */
export interface CliCommand {
  readonly summary: string;
  readonly options: OptionTable;
  /** Returns the exit code: 0 done, 1 a runtime error or a mismatch. @throws UsageError */
  run(args: readonly string[], io: CliIo): Promise<number>;
}

/** The command line is wrong. Code `WRONG_USAGE`; exit code 2. */
export class UsageError extends RouterError {
  constructor(message: string, options?: ErrorOptions) {
    super('WRONG_USAGE', message, options);
  }
}

/** Makes a command from its option table and a function that gets the parsed values. */
export function defineCommand<const Table extends OptionTable>(definition: {
  readonly summary: string;
  readonly options: Table;
  readonly run: (values: ValuesOf<Table>, io: CliIo) => Promise<number>;
}): CliCommand {
  return {
    summary: definition.summary,
    options: definition.options,
    run: async (args, io) => definition.run(parseOptions(definition.options, args), io),
  };
}

/** Reads arguments by a table. @throws UsageError */
export function parseOptions<const Table extends OptionTable>(table: Table, args: readonly string[]): ValuesOf<Table> {
  const parsed = parseStrictly(table, args);
  const values: Record<string, string | boolean | undefined> = {};
  for (const [name, option] of Object.entries(table)) {
    const value = parsed[name] ?? option.default;
    if (option.type === 'boolean') {
      values[name] = value === true;
      continue;
    }
    if (value === undefined && option.required === true) {
      throw new UsageError(`--${name} is needed · found none · give it as --${name} ${placeholderOf(option)}`);
    }
    if (typeof value === 'string' && option.choices !== undefined && !option.choices.includes(value)) {
      throw new UsageError(
        `--${name} must be one of ${option.choices.join(', ')} · found '${value}' · choose one, or leave it out`,
      );
    }
    values[name] = value;
  }
  return values as ValuesOf<Table>;
}

function parseStrictly(table: OptionTable, args: readonly string[]): Record<string, string | boolean | undefined> {
  const options = Object.fromEntries(Object.entries(table).map(([name, { type }]) => [name, { type }]));
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: false }).values;
  } catch (cause) {
    throw new UsageError(reasonOf(cause), { cause });
  }
}

/** The table as aligned lines of help. */
export function describeOptions(table: OptionTable): string {
  const rows = Object.entries(table).map(([name, option]) => {
    const flag = option.type === 'boolean' ? `--${name}` : `--${name} ${placeholderOf(option)}`;
    const note =
      option.default === undefined ? (option.required === true ? ' (required)' : '') : ` (default: ${option.default})`;
    return [flag, option.description + note] as const;
  });
  const width = Math.max(...rows.map(([flag]) => flag.length), 0);
  return rows.map(([flag, text]) => `  ${flag.padEnd(width)}  ${text}\n`).join('');
}

function placeholderOf(option: CliOption): string {
  return option.placeholder ?? option.choices?.join('|') ?? 'VALUE';
}

/** An option's text as an integer. @throws UsageError */
export function integerOf(name: string, text: string, least: number, most: number = Number.MAX_SAFE_INTEGER): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isSafeInteger(value) || value < least || value > most) {
    throw new UsageError(
      `--${name} must be an integer from ${least} to ${most} · found '${text}' · choose one, or leave it out`,
    );
  }
  return value;
}
