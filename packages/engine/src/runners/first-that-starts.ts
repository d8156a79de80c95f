import { reasonOf } from '../contain.ts';
import { AbortedError, EngineError, NoRunnerError } from '../errors.ts';
import type { Logger } from '../logger.ts';

/**
 * Starts the first of several runners that can be. Why others were passed over is logged and, where none starts, told.
 *
 * @param names in the order in which they are tried, at least one.
 * @throws what the only one throws, or the first where all fail for one kind of reason (such as memory); NoRunnerError
 * where reasons differ; AbortedError at once
 */
export async function firstThatStarts<Name extends string, Started>(
  names: readonly Name[],
  start: (name: Name) => Promise<Started>,
  logger: Pick<Required<Logger>, 'info'>,
): Promise<Started> {
  const passedOver: { readonly runner: Name; readonly error: unknown }[] = [];
  for (const runner of names) {
    try {
      return await start(runner);
    } catch (error) {
      if (names.length === 1 || error instanceof AbortedError) throw error;
      passedOver.push({ runner, error });
      logger.info('runner passed over', { runner, reason: reasonOf(error) });
    }
  }
  const [first] = passedOver;
  const codes = new Set(passedOver.map(({ error }) => (error instanceof EngineError ? error.code : error)));
  throw first !== undefined && codes.size === 1 ? first.error : new NoRunnerError(passedOver);
}
