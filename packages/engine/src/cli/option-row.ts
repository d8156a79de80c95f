/**
 * What the tables of options are made of.
 */

/** One option. */
export interface OptionRow {
  readonly name: string;
  /** `'flag'` takes no value. The others are checked before anything runs: no text may be empty. */
  readonly type: 'text' | 'number' | 'integer' | 'date' | 'flag' | 'choice';
  /** What stands for the value in the help, such as `DIR`. */
  readonly value?: string;
  readonly choices?: readonly string[];
  readonly minimum?: number;
  /** Whether `minimum` itself is refused. */
  readonly aboveMinimum?: boolean;
  readonly maximum?: number;
  readonly help: string;
  /** What happens without the option, as words for the help. */
  readonly default?: string;
  /** The environment variable that stands for the option where it is left out; a blank one is not set. */
  readonly variable?: string;
}

/** The numbers that an option takes, such as `from 0 to 100`; null where any will do. */
export function rangeOf({ minimum, aboveMinimum, maximum }: OptionRow): string | null {
  if (minimum === undefined) return null;
  const range = `${aboveMinimum === true ? 'above' : 'from'} ${minimum}`;
  return maximum === undefined ? range : `${range} to ${maximum}`;
}
