/**
 * Waiting that ends with a signal.
 */

import { AbortedError } from '../errors.ts';

/**
 * What `work` gives, or AbortedError as soon as the signal fires.
 *
 * @param discard Gets what comes too late.
 */
export async function untilAborted<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
  what: string,
  discard: (late: T) => void = () => undefined,
): Promise<T> {
  if (signal === undefined) return work;
  return new Promise<T>((resolve, reject) => {
    let isAborted = false;
    const abort = (): void => {
      isAborted = true;
      reject(new AbortedError(what, signal.reason));
    };
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
    work
      .then(
        (value) => {
          if (isAborted) discard(value);
          else resolve(value);
        },
        (error: unknown) => {
          // Work that hears of the signal itself may say so in its own words.
          if (signal.aborted) abort();
          else reject(error);
        },
      )
      .finally(() => signal.removeEventListener('abort', abort));
  });
}
