/**
 * Responses that nobody waits for: they go on without their client, which asks for them later, reads on in their stream
 * or cancels them.
 */

import { contain } from '../contain.ts';
import { EventLog, type EventSink } from './event-log.ts';
import { type OpenAiError, toOpenAiError } from './errors/openai-error.ts';
import type { ResponseStatus } from './response-json.ts';
import type { ResponseStore, StoredResponse } from './response-store.ts';

/** A response that can be read to its end, and keeps its last state itself. */
export interface BackgroundRun {
  stream(events: EventSink, onFailure: (failure: OpenAiError) => void): Promise<void>;
  state(status: ResponseStatus): object;
  stored(response: object): StoredResponse;
  keep(response: object): void;
  forget(): void;
}

/** How a response is to go on. */
export interface BackgroundOptions {
  readonly id: string;
  /** Ends the response. */
  readonly abort: AbortController;
  /** Whether its events are kept, for `events`. */
  readonly streamed: boolean;
  readonly onFailure: (failure: OpenAiError) => void;
}

interface Running {
  readonly run: BackgroundRun;
  readonly abort: AbortController;
  readonly log: EventLog | null;
  readonly settled: Promise<void>;
}

const NOWHERE: EventSink = { send: () => Promise.resolve() };

/** The responses under way in the background. */
export class BackgroundResponses {
  readonly #store: ResponseStore;
  readonly #mostLogged: number;
  readonly #running = new Map<string, Running>();

  /**
   * @param store Keeps the events of responses that are over, beside the responses.
   * @param mostLogged Characters of one response's events that are kept.
   */
  constructor(store: ResponseStore, mostLogged: number) {
    this.#store = store;
    this.#mostLogged = mostLogged;
  }

  /** Runs a response to its end and keeps its first and its last state. Returns the first. */
  start(run: BackgroundRun, { id, abort, streamed, onFailure }: BackgroundOptions): object {
    const first = run.state('in_progress');
    run.keep(first);
    const log = streamed ? new EventLog(this.#mostLogged) : null;
    const settled = new Promise<void>((resolve) => {
      const over = (): void => {
        log?.end();
        // One that was deleted meanwhile is gone.
        if (this.#running.delete(id) && log !== null) this.#store.attach(id, log);
        resolve();
      };
      contain(
        () => run.stream(log ?? NOWHERE, onFailure).finally(over),
        (error) => onFailure(toOpenAiError(error)),
      );
    });
    this.#running.set(id, { run, abort, log, settled });
    return first;
  }

  /** A response that is under way, also where newer ones took its place in the store; null where it is over. */
  get(id: string): StoredResponse | null {
    const running = this.#running.get(id);
    return running === undefined ? null : running.run.stored(running.run.state('in_progress'));
  }

  /** The events of a response that is under way or kept; null where they are not kept. */
  events(id: string): EventLog | null {
    return this.#running.get(id)?.log ?? this.#store.events(id);
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
    if (running === undefined) return;
    this.#running.delete(id);
    running.run.forget();
    running.abort.abort();
    running.log?.end();
  }
}
