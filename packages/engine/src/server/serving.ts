/**
 * One generation on behalf of an HTTP request: started so that a bad request is known before any header is sent,
 * and counted.
 *
 * @module
 */
import { randomUUID } from 'node:crypto';
import type { DoneEvent, GenerateEvent } from '../events.ts';
import type { GenerateRequest } from '../request.ts';
import type { EngineHolder } from './engine-holder.ts';
import type { ServerMetrics } from './metrics.ts';
import { type FieldNames, toOpenAiError } from './openai-error.ts';

/** What every route needs. */
export interface Serving {
  readonly holder: EngineHolder;
  readonly metrics: ServerMetrics;
  /** The model's name in answers and in `/v1/models`. */
  readonly modelId: string;
  /** Silence after which a stream gets a comment, in milliseconds. */
  readonly keepAliveMs: number;
  /** When the model was loaded, in Unix seconds. */
  readonly created: number;
}

/** A generation that the engine has taken. */
export interface StartedGeneration {
  readonly promptTokens: number;
  /** Everything after the `queued` event. */
  readonly events: AsyncIterable<GenerateEvent>;
}

/** An id as OpenAI makes them: a prefix and letters. */
export function newId(prefix: string): string {
  return `${prefix}-${randomUUID().replaceAll('-', '')}`;
}

/** Unix time in whole seconds. */
export function unixSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

async function* watched(
  serving: Serving,
  rest: AsyncIterator<GenerateEvent>,
): AsyncGenerator<GenerateEvent, void, undefined> {
  try {
    for (;;) {
      const { value, done } = await rest.next();
      if (done === true) return;
      if (value.type === 'done') serving.metrics.finished(value);
      yield value;
    }
  } catch (error) {
    serving.metrics.failed(error);
    throw error;
  } finally {
    await rest.return?.();
  }
}

/** Starts a generation and waits until the engine has taken it. @throws what the engine throws for a bad request */
export async function startGeneration(serving: Serving, request: GenerateRequest): Promise<StartedGeneration> {
  const iterator = serving.holder.engine.generate(request);
  try {
    const first = await iterator.next();
    const promptTokens = first.done !== true && first.value.type === 'queued' ? first.value.promptTokens : 0;
    return { promptTokens, events: watched(serving, iterator) };
  } catch (error) {
    serving.metrics.failed(error);
    throw error;
  }
}

/**
 * Starts several generations that share `abort`: all of them, or none.
 *
 * @param names What the request's API calls the engine's fields, for the error.
 * @throws OpenAiError
 */
export async function startTogether(
  serving: Serving,
  requests: readonly GenerateRequest[],
  abort: AbortController,
  names: FieldNames = [],
): Promise<StartedGeneration[]> {
  try {
    return await Promise.all(requests.map((request) => startGeneration(serving, request)));
  } catch (error) {
    abort.abort();
    throw toOpenAiError(error, names);
  }
}

/** OpenAI's `usage` of one or more generations of the same prompt. */
export function openAiUsage(done: readonly DoneEvent[]): {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  prompt_tokens_details: { cached_tokens: number };
  completion_tokens_details: { reasoning_tokens: number };
} {
  const sum = (of: (event: DoneEvent) => number): number => done.reduce((total, event) => total + of(event), 0);
  // The choices of one request share their prompt: OpenAI counts it once.
  const promptTokens = done[0]?.usage.promptTokens ?? 0;
  const completionTokens = sum((event) => event.usage.completionTokens);
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: done[0]?.usage.cachedTokens ?? 0 },
    completion_tokens_details: { reasoning_tokens: sum((event) => event.usage.reasoningTokens) },
  };
}
