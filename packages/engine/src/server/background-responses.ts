/**
 * Responses that nobody waits for: they go on without their client, which asks for them later or cancels them.
 */

import { type OpenAiError, toOpenAiError } from './errors/openai-error.ts';
import type { ResponseStatus } from './response-json.ts';

/** A response that can be read to its end. */
export interface BackgroundRun {
  collect(): Promise<object>;
  state(status: ResponseStatus): object;
  failed(failure: OpenAiError): object;
  keep(response: object): void;
}

/** The responses under way in the background. */
export class BackgroundResponses {
  readonly #running = new Map<string, { readonly abort: AbortController; readonly settled: Promise<void> }>();

  /** Runs a response to its end and keeps every state of it. Returns the first. */
  start(id: string, run: BackgroundRun, abort: AbortController, onFailure: (failure: OpenAiError) => void): object {
    const first = run.state('in_progress');
    run.keep(first);
    const keepLast = async (): Promise<void> => {
      let last: object;
      try {
        last = await run.collect();
      } catch (error) {
        if (abort.signal.aborted) last = run.state('cancelled');
        else {
          const failure = toOpenAiError(error);
          onFailure(failure);
          last = run.failed(failure);
        }
      }
      // One that was deleted meanwhile is gone.
      if (this.#running.delete(id)) run.keep(last);
    };
    this.#running.set(id, { abort, settled: keepLast() });
    return first;
  }

  /** Ends a response and waits until its last state is kept. Does nothing for one that is over. */
  async cancel(id: string): Promise<void> {
    const running = this.#running.get(id);
    running?.abort.abort();
    await running?.settled;
  }

  /** Ends a response, and keeps nothing more of it. */
  drop(id: string): void {
    const running = this.#running.get(id);
    this.#running.delete(id);
    running?.abort.abort();
  }
}
