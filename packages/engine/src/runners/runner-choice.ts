/**
 * Which runner a model is loaded into.
 */

import { checkOneOf } from '../check-values.ts';
import type { ExpertPrecision, RouterChoice } from './runner-module.ts';

/** The runners that there are. */
export const RUNNER_NAMES = ['native', 'onnxruntime', 'hip'] as const;
export type RunnerName = (typeof RUNNER_NAMES)[number];

/**
 * Those that `'auto'` tries, in order, by how experts are to be computed: a GPU where there is one whose answers are right, the
 * native runner where a library fits processor and checkpoint, else ONNX Runtime.
 */
export const AUTOMATIC_RUNNERS: Readonly<Record<ExpertPrecision, readonly RunnerName[]>> = {
  exact: ['hip', 'native', 'onnxruntime'],
  int4: ['onnxruntime'],
};

/** Those that have a router of their own: where another is asked for, they are not tried. */
const WITH_OWN_ROUTER: Readonly<Partial<Record<RunnerName, RouterChoice>>> = { hip: 'hip' };

/** A runner by name, or `'auto'` for the first that starts and holds the model. */
export type RunnerChoice = 'auto' | RunnerName;

/** What `'auto'` and the option's absence look at. */
const RUNNER_VARIABLE = 'SWITCHYARD_RUNNER';
/** What the router `'auto'` looks at. */
const ROUTER_VARIABLE = 'SWITCHYARD_ROUTER';

/** What decides which runners are tried, where none is named. */
export interface RunnerWishes {
  readonly expertPrecision: ExpertPrecision;
  readonly router: RouterChoice;
}

/**
 * The runners to try, in order: the one that is named, or where none is, by option or by the environment variable
 * SWITCHYARD_RUNNER, the automatic ones. Throws InvalidRequestError.
 */
export function runnersToTry(
  choice: RunnerChoice | undefined,
  { expertPrecision, router }: RunnerWishes,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): readonly RunnerName[] {
  const fromEnvironment = choice === undefined || choice === 'auto' ? environment[RUNNER_VARIABLE] : undefined;
  // An empty variable is one that is not set.
  const name = fromEnvironment || (choice ?? 'auto');
  const field = fromEnvironment ? `environment variable ${RUNNER_VARIABLE}` : 'runner';
  const known = checkOneOf<RunnerChoice>(field, name, ['auto', ...RUNNER_NAMES]);
  if (known !== 'auto') return [known];
  const wanted = router === 'auto' ? environment[ROUTER_VARIABLE] || router : router;
  return AUTOMATIC_RUNNERS[expertPrecision].filter((runner) => {
    const own = WITH_OWN_ROUTER[runner];
    return own === undefined || wanted === 'auto' || wanted === own;
  });
}

/** The router of a load whose GPU is not to be trusted: on the CPU, where nobody asked for another. */
export function routerWithoutGpu(
  router: RouterChoice,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): RouterChoice {
  return router === 'auto' && !environment[ROUTER_VARIABLE] ? 'cpu' : router;
}
