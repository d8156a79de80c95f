/**
 * Values that callers pass: checked against a rule, and named in errors.
 */

import { InvalidRequestError } from './errors.ts';
import type { NumberRange } from './ranges.ts';

/** What a caller passed, short enough for an error message. */
export function describeValue(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') return String(value);
  if (value === null || value === undefined) return String(value);
  return Array.isArray(value) ? `an array of ${value.length}` : `a value of type ${typeof value}`;
}

/** What a number has to be. */
export interface NumberRule extends NumberRange {
  readonly integer?: boolean;
}

/** Returns `value`, or `fallback` where it is undefined; throws InvalidRequestError outside the rule. */
export function checkNumber(field: string, value: unknown, fallback: number, rule: NumberRule): number {
  if (value === undefined) return fallback;
  const allowed =
    typeof value === 'number' &&
    value >= rule.minimum &&
    value <= rule.maximum &&
    !(rule.aboveMinimum === true && value === rule.minimum) &&
    !(rule.integer === true && !Number.isInteger(value));
  if (!allowed) {
    const kind = rule.integer === true ? 'an integer' : 'a number';
    const lower = rule.aboveMinimum === true ? `above ${rule.minimum}` : `from ${rule.minimum}`;
    throw new InvalidRequestError(field, describeValue(value), `give ${kind} ${lower} to ${rule.maximum}`);
  }
  return value;
}

/** Returns `value`, or throws InvalidRequestError where it is none of `choices`. */
export function checkOneOf<T>(field: string, value: unknown, choices: readonly T[]): T {
  const known = choices.find((choice) => choice === value);
  if (known !== undefined) return known;
  throw new InvalidRequestError(field, describeValue(value), `give one of ${choices.join(', ')}`);
}
