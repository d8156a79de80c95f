/**
 * What chat completions and completions have in common: several generations that live and die together, streamed as
 * chunks or answered as one object.
 */

import { setMaxListeners } from 'node:events';
import type { Context } from 'hono';
import type { DoneEvent } from '../events.ts';
import type { GenerateRequest } from '../request.ts';
import { abortWithClient, type EventStream, streamEvents } from './event-stream.ts';
import { toOpenAiError } from './errors/openai-error.ts';
import { MAX_CHOICES } from './schemas/sampling.ts';
import {
  logFailure,
  newId,
  openAiUsage,
  type Serving,
  type StartedGeneration,
  type StartOptions,
  startTogether,
  unixSeconds,
} from './serving.ts';

/** How one API asks for choices and shows them. */
export interface ChoiceApi extends StartOptions {
  /** The prefix of answers' ids. */
  readonly idPrefix: string;
  /** The type of a whole answer. */
  readonly object: string;
  /** The type of a streamed chunk. */
  readonly chunkObject: string;
  readonly stream: boolean;
  /** Whether a stream ends with the usage. */
  readonly streamsUsage: boolean;
  /** How many of the requests in a row have the same prompt. */
  readonly choicesPerPrompt: number;
  /** One request a choice. @throws OpenAiError 400 */
  requests(signal: AbortSignal): readonly GenerateRequest[];
  /** Sends a choice's part of the stream; null where its generation ended without a word. */
  sendChoice(
    generation: StartedGeneration,
    index: number,
    send: (choice: object) => Promise<void>,
  ): Promise<DoneEvent | null>;
  /** Reads a choice to its end. */
  collectChoice(generation: StartedGeneration, index: number): Promise<{ json: object; done: DoneEvent | null }>;
}

/** Answers a request. @throws OpenAiError */
export async function answerChoices(context: Context, serving: Serving, api: ChoiceApi): Promise<Response> {
  const abort = abortWithClient(context);
  // Every choice listens to the same signal.
  setMaxListeners(MAX_CHOICES, abort.signal);
  const generations = await startTogether(serving, api.requests(abort.signal), abort, api);
  const head = { id: newId(api.idPrefix), created: unixSeconds(), model: serving.modelId };
  if (api.stream) {
    return streamEvents(context, serving, abort, async (events) => {
      try {
        await sendChunks(events, { ...head, object: api.chunkObject }, api, generations);
      } catch (error) {
        abort.abort();
        const failure = toOpenAiError(error, api.names);
        logFailure(serving, context, failure);
        await events.send(failure.body);
      }
      await events.done();
    });
  }
  try {
    const choices = await Promise.all(generations.map((generation, index) => api.collectChoice(generation, index)));
    const done = choices.flatMap((choice) => choice.done ?? []);
    return context.json({
      ...head,
      object: api.object,
      choices: choices.map(({ json }) => json),
      usage: openAiUsage(done, api.choicesPerPrompt),
    });
  } finally {
    abort.abort();
  }
}

async function sendChunks(
  events: EventStream,
  head: object,
  api: ChoiceApi,
  generations: readonly StartedGeneration[],
): Promise<void> {
  const send = (choice: object): Promise<void> =>
    events.send({ ...head, choices: [choice], ...(api.streamsUsage ? { usage: null } : {}) });
  const done = await Promise.all(generations.map((generation, index) => api.sendChoice(generation, index, send)));
  if (!api.streamsUsage) return;
  const ended = done.filter((event) => event !== null);
  await events.send({ ...head, choices: [], usage: openAiUsage(ended, api.choicesPerPrompt) });
}
