/**
 * Bounds on the JSON schemas that callers send: a text of fifty bytes can take a quarter of a minute to compile. What
 * is within them and still takes too long is given up by the grammars' thread.
 *
 * @module
 */
import { InvalidRequestError } from '../errors.ts';

/** Characters of a schema's JSON. */
const LONGEST_SCHEMA = 65_536;
/** Objects in a schema's JSON, itself included. */
const MOST_OBJECTS = 512;
/** Characters of a `pattern`. */
const LONGEST_PATTERN = 256;
/** What the upper bounds of a pattern's repetitions, such as `{2,8}`, multiply to. */
const MOST_REPETITIONS = 256;

const BOUNDED_REPETITION = /\{(\d+)(?:,(\d*))?\}/g;

/**
 * Checks one schema.
 *
 * @param field Where the request has it, for the error.
 * @param json The schema's JSON text.
 * @throws InvalidRequestError
 */
export function checkSchemaLimits(field: string, json: string): void {
  if (json.length > LONGEST_SCHEMA) {
    throw new InvalidRequestError(field, `${json.length} characters`, `give at most ${LONGEST_SCHEMA}`);
  }
  let objects = 0;
  const open: unknown[] = [JSON.parse(json)];
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (typeof value !== 'object' || value === null) continue;
    if (!Array.isArray(value)) objects += 1;
    for (const [key, child] of Object.entries(value)) {
      if (key === 'pattern' && typeof child === 'string') checkPattern(field, child);
      open.push(child);
    }
  }
  if (objects > MOST_OBJECTS) {
    throw new InvalidRequestError(field, `${objects} objects in one schema`, `give at most ${MOST_OBJECTS}`);
  }
}

function checkPattern(field: string, pattern: string): void {
  if (pattern.length > LONGEST_PATTERN) {
    const found = `a pattern of ${pattern.length} characters`;
    throw new InvalidRequestError(field, found, `give at most ${LONGEST_PATTERN}`);
  }
  let repetitions = 1;
  for (const [, least = '1', most] of pattern.matchAll(BOUNDED_REPETITION)) {
    repetitions *= Math.max(1, Number(most === undefined || most === '' ? least : most));
  }
  if (repetitions > MOST_REPETITIONS) {
    const found = `a pattern with ${repetitions} repetitions`;
    throw new InvalidRequestError(field, found, `let its bounds multiply to at most ${MOST_REPETITIONS}`);
  }
}
