/**
 * One generation on behalf of an HTTP request: started so that a bad request is known before any header is sent,
 * and counted.
 */

import { randomUUID } from 'node:crypto';
import type { Context } from 'hono';
import type { DoneEvent, GenerateEvent, Usage } from '../events.ts';
import type { GenerateRequest } from '../request.ts';
import type { Logger } from '../logger.ts';
import type { BackgroundResponses } from './background-responses.ts';
import type { EngineHolder } from './engine-holder.ts';
import type { ServerMetrics } from './metrics.ts';
import type { ReasoningSeal } from './reasoning-seal.ts';
import type { ResponseStore } from './response-store.ts';
import { type FieldNames, OpenAiError, toOpenAiError } from './errors/openai-error.ts';

/** What every route needs. */
export interface Serving {
  readonly holder: EngineHolder;
  readonly metrics: ServerMetrics;
  /** The model's name in answers and in `/v1/models`. */
  readonly modelId: string;
  /** Silence after which a stream gets a comment, in milliseconds. */
  readonly keepAliveMs: number;
  /** The largest request body in bytes. */
  readonly maxBodyBytes: number;
  /** Responses that later requests may name. */
  readonly responses: ResponseStore;
  readonly background: BackgroundResponses;
  readonly seal: ReasoningSeal;
  /** When the model was loaded, in Unix seconds. */
  readonly created: number;
  readonly logger: Required<Logger>;
}

/** Under which name a request's context has its id. */
export const REQUEST_ID = 'requestId';

/** Logs a failure that is the server's own, for whoever runs it: its client hears of it anyway. */
export function logFailure({ logger }: Serving, context: Context, error: OpenAiError): void {
  if (error.status !== 500) return;
  const requestId: unknown = context.get(REQUEST_ID);
  logger.error('request failed', { requestId, path: context.req.path, code: error.code, reason: error.message });
}

/** A request may name the model or leave it out. @throws OpenAiError 404 for any other name. */
export function requireModel(serving: Serving, id: string | null | undefined): void {
  if (id == null || id === serving.modelId) return;
  throw new OpenAiError(404, `There is no model ${id} · found ${serving.modelId} · ask for that one`, {
    param: 'model',
    code: 'model_not_found',
  });
}

/** A generation that the engine has taken. */
export interface StartedGeneration {
  readonly promptTokens: number;
  /** Everything after the `queued` event that the request wants to see. */
  readonly events: AsyncIterable<GenerateEvent>;
}

/** What a request and its API say of a generation beside the engine's request. */
export interface StartOptions {
  /** What the API calls the engine's fields, for errors. */
  readonly names: FieldNames;
  /** What the request calls the schemas of its tools' arguments, by the tools' names. Defaults to the engine's fields. */
  readonly schemaFields?: ReadonlyMap<string, string>;
  /** Whether at most one tool call comes out: `parallel_tool_calls: false`. Defaults to false. */
  readonly oneCall?: boolean;
  /** Whether what the model thinks comes out: `include_reasoning`. Defaults to true. */
  readonly reasoning?: boolean;
}

/** An id as OpenAI makes them: a prefix, such as `chatcmpl-` or `resp_`, and letters. */
export function newId(prefix: string): string {
  return `${prefix}${randomUUID().replaceAll('-', '')}`;
}

/** Unix time in whole seconds. */
export function unixSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

async function* watched(
  serving: Serving,
  rest: AsyncIterator<GenerateEvent>,
  { oneCall = false, reasoning = true }: StartOptions,
): AsyncGenerator<GenerateEvent, void, undefined> {
  try {
    for (;;) {
      const { value, done } = await rest.next();
      if (done === true) return;
      if (value.type === 'done') serving.metrics.finished(value);
      if (oneCall && 'index' in value && value.index > 0) continue;
      if (!reasoning && value.type === 'analysis') continue;
      yield value;
    }
  } catch (error) {
    serving.metrics.failed(error);
    throw error;
  } finally {
    await rest.return?.();
  }
}

/** Waits until the engine has taken a generation, whose first event tells of it. */
async function promptTokensOf(serving: Serving, iterator: AsyncIterator<GenerateEvent>): Promise<number> {
  try {
    const first = await iterator.next();
    return first.done !== true && first.value.type === 'queued' ? first.value.promptTokens : 0;
  } catch (error) {
    serving.metrics.failed(error);
    throw error;
  }
}

/** Starts a generation and waits until the engine has taken it. @throws OpenAiError */
export async function startGeneration(
  serving: Serving,
  request: GenerateRequest,
  options: StartOptions,
): Promise<StartedGeneration> {
  try {
    const iterator = serving.holder.engine.generate(request);
    const promptTokens = await promptTokensOf(serving, iterator);
    return { promptTokens, events: watched(serving, iterator, options) };
  } catch (error) {
    throw toOpenAiError(error, [...toolFields(request, options), ...options.names]);
  }
}

/** The engine's fields of tools' schemas: it may know fewer tools than the request has, and in another order. */
function toolFields({ tools = [] }: GenerateRequest, { schemaFields }: StartOptions): FieldNames {
  return tools.flatMap(({ name }, index) => {
    const field = schemaFields?.get(name);
    return field === undefined ? [] : [[new RegExp(`^tools\\[${index}\\]\\.parameters`), field] as const];
  });
}

/** Starts several generations that share `abort`: all of them, or none. @throws OpenAiError */
export async function startTogether(
  serving: Serving,
  requests: readonly GenerateRequest[],
  abort: AbortController,
  options: StartOptions,
): Promise<StartedGeneration[]> {
  try {
    return await Promise.all(requests.map((request) => startGeneration(serving, request, options)));
  } catch (error) {
    abort.abort();
    throw error;
  }
}

/**
 * OpenAI's `usage` of one request's generations.
 *
 * @param choices How many generations in a row have the same prompt: it is counted once for all of them.
 */
export function openAiUsage(
  done: readonly DoneEvent[],
  choices: number,
): {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  prompt_tokens_details: { cached_tokens: number };
  completion_tokens_details: { reasoning_tokens: number };
} {
  const sum = (events: readonly DoneEvent[], of: (usage: Usage) => number): number =>
    events.reduce((total, { usage }) => total + of(usage), 0);
  const prompts = done.filter((_, index) => index % choices === 0);
  const promptTokens = sum(prompts, (usage) => usage.promptTokens);
  const completionTokens = sum(done, (usage) => usage.completionTokens);
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: sum(prompts, (usage) => usage.cachedTokens) },
    completion_tokens_details: { reasoning_tokens: sum(done, (usage) => usage.reasoningTokens) },
  };
}
