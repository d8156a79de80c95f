/**
 * The stream events of one response, kept so that a client that went away can go on where it was.
 */

import { badRequest, type OpenAiError } from './errors/openai-error.ts';

/** Where events go: to a client, or to be kept for one. */
export interface EventSink {
  /** Resolves when more can be taken. */
  send(event: unknown, type: string): Promise<void>;
}

/** One event as it is sent. */
export interface LoggedEvent {
  /** Its `sequence_number`. */
  readonly sequence: number;
  readonly type: string;
  /** The whole event as JSON. */
  readonly json: string;
}

const AT_ONCE = Promise.resolve();

/** Keeps the latest events of a response: as many as its bound allows. Numbers start at 0 and rise by one. */
export class EventLog implements EventSink {
  readonly #most: number;
  /** By number, in their order. */
  readonly #events = new Map<number, LoggedEvent>();
  readonly #waiting = new Set<() => void>();
  #next = 0;
  #characters = 0;
  #ended = false;

  /** @param most Characters of the events' JSON that are kept; the oldest events go first, the newest always stays. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Characters of the JSON that is kept. */
  get characters(): number {
    return this.#characters;
  }

  /** The number of the oldest event that is kept, or of the first to come. */
  get first(): number {
    return this.#next - this.#events.size;
  }

  /** Takes the next event in. Resolves at once: nobody has to read it. */
  send(data: unknown, type: string): Promise<void> {
    const json = JSON.stringify(data);
    this.#events.set(this.#next, { sequence: this.#next, type, json });
    this.#next += 1;
    this.#characters += json.length;
    for (const [sequence, event] of this.#events) {
      if (this.#characters <= this.#most || this.#events.size === 1) break;
      this.#events.delete(sequence);
      this.#characters -= event.json.length;
    }
    this.#wake();
    return AT_ONCE;
  }

  /** No event comes after this: readers come to their end. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /**
   * The events above a number, those that are kept and those to come, until the log or the signal ends.
   *
   * @throws OpenAiError 400 where the next of them is kept no more.
   */
  async *after(sequence: number, signal: AbortSignal): AsyncGenerator<LoggedEvent, void, undefined> {
    let next = sequence + 1;
    while (!signal.aborted) {
      const event = this.#events.get(next);
      if (event !== undefined) {
        yield event;
        next += 1;
      } else if (next < this.first) {
        throw this.#gone(next);
      } else if (this.#ended) {
        return;
      } else {
        await this.#change(signal);
      }
    }
  }

  /** @throws OpenAiError 400 where the event after this one is kept no more. */
  check(sequence: number): void {
    if (sequence + 1 < this.first) throw this.#gone(sequence + 1);
  }

  #gone(wanted: number): OpenAiError {
    return badRequest(
      'starting_after',
      `Event ${wanted} is kept no more · the oldest that is kept is ${this.first} · ask for the response without its stream`,
      'events_gone',
    );
  }

  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const settle = (): void => {
        this.#waiting.delete(settle);
        signal.removeEventListener('abort', settle);
        resolve();
      };
      this.#waiting.add(settle);
      signal.addEventListener('abort', settle, { once: true });
    });
  }

  #wake(): void {
    for (const settle of this.#waiting) settle();
  }
}
