/**
 * One response from its generation to its last state, which is kept where the client did not say otherwise.
 */

import type { DoneEvent, GenerateEvent } from '../events.ts';
import { type OpenAiError, toOpenAiError } from './errors/openai-error.ts';
import type { EventSink } from './event-log.ts';
import type { ResponseContext } from './response-context.ts';
import { type ResponseEvent, ResponseItems, type ItemOptions } from './response-items.ts';
import { itemStatusOf, type ResponseHead, responseJson, type ResponseStatus, statusOf } from './response-json.ts';
import type { ResponseStore, StoredItem, StoredResponse } from './response-store.ts';
import type { StartedGeneration } from './serving.ts';

/** What a response needs of the server. */
export interface ResponseRunOptions {
  readonly head: ResponseHead;
  readonly context: ResponseContext;
  readonly generation: StartedGeneration;
  readonly items: ItemOptions;
  /** Null where nothing is to be kept. */
  readonly store: ResponseStore | null;
  /** Fires when the response is given up: its client has gone or cancels it. */
  readonly signal: AbortSignal;
}

/** A response under way. Read it once, with `collect` or `stream`. */
export class ResponseRun {
  readonly #options: ResponseRunOptions;
  readonly #items: ResponseItems;
  #isForgotten = false;

  constructor(options: ResponseRunOptions) {
    this.#options = options;
    this.#items = new ResponseItems(options.items);
  }

  /** The response as it is now. */
  state(status: ResponseStatus, done: DoneEvent | null = null): object {
    return responseJson(this.#options.head, status, this.#items, done);
  }

  /** The response as it is after a failure. */
  failed({ message, code }: OpenAiError): object {
    return responseJson(this.#options.head, 'failed', this.#items, null, { code, message });
  }

  /** A state of the response with its conversation. */
  stored(response: object): StoredResponse {
    const { head, context } = this.#options;
    return { id: head.id, response, input: context.stored, output: this.#items.toJson() as StoredItem[] };
  }

  /** Keeps a state of the response. */
  keep(response: object): void {
    if (!this.#isForgotten) this.#options.store?.put(this.stored(response));
  }

  /** Keeps nothing from now on. */
  forget(): void {
    this.#isForgotten = true;
  }

  /** Reads the answer to its end. Throws what the generation throws. */
  async collect(): Promise<object> {
    const done = await this.#read((event) => void this.#items.push(event));
    const status = statusOf(done);
    this.#items.finish(itemStatusOf(status));
    return this.state(status, done);
  }

  /** Sends the response's events as they come, its failure or its being given up among them, and keeps its last state. */
  async stream(events: EventSink, onFailure: (failure: OpenAiError) => void): Promise<void> {
    let sequence = 0;
    const send = async (event: ResponseEvent): Promise<void> => {
      await events.send({ ...event, sequence_number: sequence }, event.type);
      sequence += 1;
    };
    await send({ type: 'response.created', response: this.state('in_progress') });
    await send({ type: 'response.in_progress', response: this.state('in_progress') });
    try {
      const done = await this.#read(async (event) => {
        for (const next of this.#items.push(event)) await send(next);
      });
      const status = statusOf(done);
      for (const next of this.#items.finish(itemStatusOf(status))) await send(next);
      const response = this.state(status, done);
      // Kept before the client can ask for it.
      this.keep(response);
      await send({ type: `response.${status}`, response });
    } catch (error) {
      const status = this.#options.signal.aborted ? 'cancelled' : 'failed';
      for (const next of this.#items.finish('incomplete')) await send(next);
      const failure = toOpenAiError(error);
      if (status === 'failed') onFailure(failure);
      const response = status === 'failed' ? this.failed(failure) : this.state(status);
      this.keep(response);
      await send({ type: `response.${status}`, response });
    }
  }

  async #read(onEvent: (event: GenerateEvent) => Promise<void> | void): Promise<DoneEvent | null> {
    let done: DoneEvent | null = null;
    for await (const event of this.#options.generation.events) {
      if (event.type === 'done') done = event;
      await onEvent(event);
    }
    return done;
  }
}
