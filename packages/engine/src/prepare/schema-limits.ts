/**
 * Bounds on the size of the JSON schemas that callers send. What a schema takes to compile is bounded where it is
 * compiled.
 */

import { InvalidRequestError } from '../errors.ts';

/** Characters of a schema's JSON. */
const LONGEST_SCHEMA = 65_536;
/** Objects in a schema's JSON, itself included. */
const MOST_OBJECTS = 512;
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
    open.push(...(Object.values(value) as unknown[]));
  }
  if (objects > MOST_OBJECTS) {
    throw new InvalidRequestError(field, `${objects} objects in one schema`, `give at most ${MOST_OBJECTS}`);
  }
}
