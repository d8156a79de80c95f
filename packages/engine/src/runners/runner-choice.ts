/**
 * Which runner a model is loaded into.
 *
 * @module
 */
import { describeValue } from '../check-values.ts';
import { InvalidRequestError } from '../errors.ts';

/** The runners that there are, those first that `'auto'` tries first. */
export const RUNNER_NAMES = ['onnxruntime'] as const;
export type RunnerName = (typeof RUNNER_NAMES)[number];

/** A runner by name, or `'auto'` for the first that starts and holds the model. */
export type RunnerChoice = 'auto' | RunnerName;

/** What `'auto'` and the option's absence look at. */
export const RUNNER_VARIABLE = 'SWITCHYARD_RUNNER';

/**
 * The runners to try, in order: the one that is named, or where none is, by option or by the environment variable
 * SWITCHYARD_RUNNER, all of them. Throws InvalidRequestError.
 */
export function runnersToTry(
  choice: RunnerChoice | undefined,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): readonly RunnerName[] {
  const fromEnvironment = choice === undefined || choice === 'auto' ? environment[RUNNER_VARIABLE] : undefined;
  // An empty variable is one that is not set.
  const name: string = fromEnvironment || (choice ?? 'auto');
  if (name === 'auto') return RUNNER_NAMES;
  const known = RUNNER_NAMES.find((runner) => runner === name);
  if (known !== undefined) return [known];
  const field = fromEnvironment ? `environment variable ${RUNNER_VARIABLE}` : 'runner';
  throw new InvalidRequestError(field, describeValue(name), `give one of auto, ${RUNNER_NAMES.join(', ')}`);
}
