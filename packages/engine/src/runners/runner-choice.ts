/**
 * Which runner a model is loaded into.
 */

import { checkOneOf } from '../check-values.ts';
import type { ExpertPrecision } from './runner-module.ts';

/** The runners that there are. */
export const RUNNER_NAMES = ['native', 'onnxruntime', 'hip'] as const;
export type RunnerName = (typeof RUNNER_NAMES)[number];

/**
 * Those that `'auto'` tries, in order, by how experts are to be computed: the native runner where a library fits processor and
 * checkpoint, else ONNX Runtime. The GPU runner is taken by name only: nothing checks its answers on a device and driver
 * not seen before.
 */
export const AUTOMATIC_RUNNERS: Readonly<Record<ExpertPrecision, readonly RunnerName[]>> = {
  exact: ['native', 'onnxruntime'],
  int4: ['onnxruntime'],
};

/** A runner by name, or `'auto'` for the first that starts and holds the model. */
export type RunnerChoice = 'auto' | RunnerName;

/** What `'auto'` and the option's absence look at. */
const RUNNER_VARIABLE = 'SWITCHYARD_RUNNER';

/**
 * The runners to try, in order: the one that is named, or where none is, by option or by the environment variable
 * SWITCHYARD_RUNNER, the automatic ones. Throws InvalidRequestError.
 */
export function runnersToTry(
  choice: RunnerChoice | undefined,
  precision: ExpertPrecision,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): readonly RunnerName[] {
  const fromEnvironment = choice === undefined || choice === 'auto' ? environment[RUNNER_VARIABLE] : undefined;
  // An empty variable is one that is not set.
  const name = fromEnvironment || (choice ?? 'auto');
  const field = fromEnvironment ? `environment variable ${RUNNER_VARIABLE}` : 'runner';
  const known = checkOneOf<RunnerChoice>(field, name, ['auto', ...RUNNER_NAMES]);
  return known === 'auto' ? AUTOMATIC_RUNNERS[precision] : [known];
}
