import { reasonOf } from '../contain.ts';
import { AbortedError, EngineError, NoRunnerError } from '../errors.ts';
import type { Logger } from '../logger.ts';

/** A runner that was tried and not taken. Survives JSON. */
export interface PassedOver {
  readonly runner: string;
  /** That of the error, such as 'NO_GPU' or 'INSUFFICIENT_MEMORY'; null where it has none. */
  readonly code: string | null;
  readonly reason: string;
}

/** What started, and what was tried before it. */
export interface FirstThatStarts<Started> {
  readonly started: Started;
  readonly passedOver: readonly PassedOver[];
}

/** Codes of machines that have no GPU: most have none, and nobody has to be told. */
const ABSENT: readonly unknown[] = ['BACKEND_UNAVAILABLE', 'GPU_LIBRARY_NOT_FOUND', 'NO_GPU'];

/**
 * Starts the first of several runners that can be. Why others were passed over is logged and, where none starts, told: as a
 * warning where it is found out now that a device is not to be trusted, and in detail only where there is no device.
 *
 * @param names in the order in which they are tried, at least one.
 * @throws what the only one throws, or the first where all fail for one kind of reason (such as memory), devices that are not
 * there left aside; NoRunnerError where reasons differ; AbortedError at once
 */
export async function firstThatStarts<Name extends string, Started>(
  names: readonly Name[],
  start: (name: Name) => Promise<Started>,
  logger: Pick<Required<Logger>, 'debug' | 'info' | 'warn'>,
): Promise<FirstThatStarts<Started>> {
  const failures: { readonly runner: Name; readonly error: unknown }[] = [];
  for (const runner of names) {
    try {
      const started = await start(runner);
      return { started, passedOver: failures.map((failure) => passedOver(failure.runner, failure.error)) };
    } catch (error) {
      if (names.length === 1 || error instanceof AbortedError) throw error;
      failures.push({ runner, error });
      logger[levelOf(error)]('runner passed over', { runner, reason: reasonOf(error) });
    }
  }
  const present = failures.filter(({ error }) => !isAbsent(error));
  const told = present.length === 0 ? failures : present;
  const [first] = told;
  const codes = new Set(told.map(({ error }) => (error instanceof EngineError ? error.code : error)));
  throw first !== undefined && codes.size === 1 ? first.error : new NoRunnerError(told);
}

/** What is told of a runner that failed. */
export function passedOver(runner: string, error: unknown): PassedOver {
  return { runner, code: codeOf(error), reason: reasonOf(error) };
}

function codeOf(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
}

/** What loading finds is another matter: by then there is a GPU. */
function isAbsent(error: unknown): boolean {
  return !(error instanceof EngineError) && ABSENT.includes(codeOf(error));
}

function levelOf(error: unknown): 'debug' | 'info' | 'warn' {
  if (isAbsent(error)) return 'debug';
  return error instanceof EngineError && 'remembered' in error && error.remembered === false ? 'warn' : 'info';
}
