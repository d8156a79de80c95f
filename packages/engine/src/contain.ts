/**
 * The border to code that is not the engine's: callbacks of callers, and what reads answers for them.
 */

export { reasonOf } from '@switchyard/gpu/errors';

/**
 * Calls `call` and gives whatever it throws, at once or through a promise that it returns, to `onFailure`, which must not
 * throw. An exception that left an event handler would end the process, and with it everybody else's requests.
 */
export function contain(call: () => unknown, onFailure: (error: unknown) => void): void {
  try {
    const result = call();
    if (result instanceof Promise) result.catch(onFailure);
  } catch (error) {
    onFailure(error);
  }
}
