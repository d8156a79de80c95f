/**
 * From a job's constraint specification to the constraint itself.
 *
 * @module
 */
import type { TokenConstraint } from '../constraint.ts';
import { UnsupportedError } from '../errors.ts';

/** Null for null. Throws UnsupportedError for every specification that nobody here knows. */
export function createConstraint(specification: unknown): TokenConstraint | null {
  if (specification === null) return null;
  throw new UnsupportedError('This response format or tool choice', "use responseFormat 'text' and toolChoice 'auto'");
}
