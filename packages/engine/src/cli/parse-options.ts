/**
 * From command-line words to checked values, by the option table.
 */

import { reasonOf } from '../contain.ts';
import { parseArgs } from 'node:util';
import { type OptionRow, rangeOf } from './option-row.ts';
import type { CommandRow } from './option-table.ts';

/** The command line is wrong: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly code = 'USAGE';
}

/** Checked option values. */
export class OptionValues {
  /** The words beside the options as one text; undefined where there are none. */
  readonly words: string | undefined;
  readonly #values: ReadonlyMap<string, string | number | boolean>;

  constructor(values: ReadonlyMap<string, string | number | boolean>, words?: string) {
    this.#values = values;
    this.words = words;
  }

  flag(name: string): boolean {
    return this.#values.get(name) === true;
  }

  text(name: string): string | undefined {
    const value = this.#values.get(name);
    return typeof value === 'string' ? value : undefined;
  }

  number(name: string): number | undefined {
    const value = this.#values.get(name);
    return typeof value === 'number' ? value : undefined;
  }

  /** A choice, as the type that its row's `choices` spell out. */
  choice<T extends string>(name: string, choices: readonly T[]): T | undefined {
    const value = this.#values.get(name);
    return choices.find((choice) => choice === value);
  }
}

/**
 * @param environment where options that are left out are looked for by their `variable`
 * @throws UsageError for unknown options, stray words and values that do not fit
 */
export function parseOptions(
  command: CommandRow,
  words: readonly string[],
  environment: NodeJS.ProcessEnv = process.env,
): OptionValues {
  const { values: given, positionals } = parseWords(command, words);
  const values = new Map<string, string | number | boolean>();
  for (const row of command.options) {
    const value = given[row.name];
    const standIn = row.variable === undefined ? '' : (environment[row.variable] ?? '').trim();
    if (value !== undefined) values.set(row.name, typeof value === 'string' ? convert(row, value) : value);
    else if (standIn !== '') values.set(row.name, convert(row, standIn, row.variable));
  }
  return new OptionValues(values, positionals.length === 0 ? undefined : positionals.join(' '));
}

interface GivenWords {
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  readonly positionals: readonly string[];
}

function parseWords(command: CommandRow, words: readonly string[]): GivenWords {
  const options = Object.fromEntries(
    command.options.map(({ name, type }) => [
      name,
      { type: type === 'flag' ? ('boolean' as const) : ('string' as const) },
    ]),
  );
  try {
    return parseArgs({ args: [...words], options, strict: true, allowPositionals: command.words !== undefined });
  } catch (error) {
    const found = reasonOf(error);
    throw new UsageError(`The command line is not valid · ${found} · see switchyard ${command.name} --help`, {
      cause: error,
    });
  }
}

/** @param name what the value was given by */
function convert(row: OptionRow, value: string, name = `--${row.name}`): string | number {
  if (row.type === 'number' || row.type === 'integer') {
    const number = value.trim() === '' ? Number.NaN : Number(value);
    const { minimum = Number.NEGATIVE_INFINITY, maximum = Number.POSITIVE_INFINITY } = row;
    const above = row.aboveMinimum === true ? number > minimum : number >= minimum;
    if (
      !Number.isFinite(number) ||
      !above ||
      number > maximum ||
      (row.type === 'integer' && !Number.isSafeInteger(number))
    ) {
      const kind = row.type === 'integer' ? 'an integer' : 'a number';
      throw notValid(name, JSON.stringify(value), `give ${kind} ${rangeOf(row) ?? ''}`);
    }
    return number;
  }
  if (value === '') throw notValid(name, 'an empty text', 'give one or leave it out');
  if (row.type === 'date' && !/^\d{4}-\d{2}-\d{2}$/.test(value)) {
    throw notValid(name, JSON.stringify(value), 'give a date as YYYY-MM-DD');
  }
  if (row.type === 'choice' && row.choices?.includes(value) !== true) {
    throw notValid(name, JSON.stringify(value), `give one of ${row.choices?.join(', ') ?? ''}`);
  }
  return value;
}

const notValid = (name: string, found: string, advice: string): UsageError =>
  new UsageError(`${name} is not valid · found ${found} · ${advice}`);
