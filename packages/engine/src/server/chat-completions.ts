/**
 * `POST /v1/chat/completions`.
 *
 * @module
 */
import { setMaxListeners } from 'node:events';
import type { Context } from 'hono';
import type { DoneEvent, FinishReason, GenerateEvent, SampledTokenLogprob, TokenLogprob } from '../events.ts';
import { type EventStream, streamEvents } from './event-stream.ts';
import { readJsonBody } from './json-body.ts';
import { CHAT_FIELDS, toOpenAiError } from './openai-error.ts';
import { type ChatRequest, chatRequest, MAX_CHOICES, toGenerateRequest } from './schemas/chat.ts';
import { newId, openAiUsage, type Serving, type StartedGeneration, startTogether, unixSeconds } from './serving.ts';

type OpenAiFinishReason = 'stop' | 'length' | 'tool_calls';

const FINISH: Readonly<Record<FinishReason, OpenAiFinishReason>> = {
  stop: 'stop',
  length: 'length',
  'tool-calls': 'tool_calls',
};

function tokenLogprob({ token, logprob, bytes }: TokenLogprob): {
  token: string;
  logprob: number;
  bytes: readonly number[];
} {
  return { token, logprob, bytes };
}

function openAiLogprobs(tokens: readonly SampledTokenLogprob[]): object {
  return {
    content: tokens.map((token) => ({ ...tokenLogprob(token), top_logprobs: token.top.map(tokenLogprob) })),
    refusal: null,
  };
}

/** One choice as it grows. */
class Choice {
  reasoning = '';
  content = '';
  readonly toolCalls: { id: string; type: 'function'; function: { name: string; arguments: string } }[] = [];
  readonly logprobs: SampledTokenLogprob[] = [];
  done: DoneEvent | null = null;

  add(event: GenerateEvent): void {
    switch (event.type) {
      case 'analysis':
        this.reasoning += event.text;
        break;
      case 'content':
        this.content += event.text;
        this.logprobs.push(...(event.logprobs ?? []));
        break;
      case 'tool-call-end':
        this.toolCalls.push({
          id: event.call.id,
          type: 'function',
          function: { name: event.call.name, arguments: event.call.arguments },
        });
        break;
      case 'done':
        this.done = event;
        break;
      case 'queued':
      case 'routing':
      case 'tool-call-start':
      case 'tool-call-delta':
        break;
      default:
        event satisfies never;
    }
  }

  toJson(index: number, wantsLogprobs: boolean): object {
    const reasoning = this.reasoning === '' ? null : this.reasoning;
    return {
      index,
      message: {
        role: 'assistant',
        content: this.content === '' && this.toolCalls.length > 0 ? null : this.content,
        reasoning,
        // DeepSeek's and llama.cpp's clients read this name.
        reasoning_content: reasoning,
        refusal: null,
        ...(this.toolCalls.length > 0 ? { tool_calls: this.toolCalls } : {}),
      },
      logprobs: wantsLogprobs ? openAiLogprobs(this.logprobs) : null,
      finish_reason: this.done === null ? null : FINISH[this.done.finishReason],
    };
  }
}

/** An event as the delta of a chunk; null where the event has none. */
function toDelta(event: GenerateEvent): object | null {
  switch (event.type) {
    case 'analysis':
      return { reasoning: event.text, reasoning_content: event.text };
    case 'content':
      return { content: event.text };
    case 'tool-call-start':
      return {
        tool_calls: [
          { index: event.index, id: event.id, type: 'function', function: { name: event.name, arguments: '' } },
        ],
      };
    case 'tool-call-delta':
      return { tool_calls: [{ index: event.index, function: { arguments: event.text } }] };
    case 'queued':
    case 'routing':
    case 'tool-call-end':
    case 'done':
      return null;
    default:
      return event satisfies never;
  }
}

async function streamChoice(
  generation: StartedGeneration,
  index: number,
  wantsLogprobs: boolean,
  send: (choice: object) => Promise<void>,
): Promise<DoneEvent | null> {
  await send({ index, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null });
  for await (const event of generation.events) {
    if (event.type === 'done') {
      await send({ index, delta: {}, logprobs: null, finish_reason: FINISH[event.finishReason] });
      return event;
    }
    const delta = toDelta(event);
    if (delta === null) continue;
    const tokens = event.type === 'content' && wantsLogprobs ? event.logprobs : undefined;
    await send({ index, delta, logprobs: tokens === undefined ? null : openAiLogprobs(tokens), finish_reason: null });
  }
  return null;
}

async function sendChunks(
  events: EventStream,
  serving: Serving,
  body: ChatRequest,
  generations: readonly StartedGeneration[],
): Promise<void> {
  const head = {
    id: newId('chatcmpl'),
    object: 'chat.completion.chunk',
    created: unixSeconds(),
    model: serving.modelId,
  };
  const wantsUsage = body.stream_options?.include_usage === true;
  const send = (choice: object): Promise<void> =>
    events.send({ ...head, choices: [choice], ...(wantsUsage ? { usage: null } : {}) });
  const done = await Promise.all(
    generations.map((generation, index) => streamChoice(generation, index, body.logprobs === true, send)),
  );
  if (wantsUsage) {
    await events.send({ ...head, choices: [], usage: openAiUsage(done.filter((event) => event !== null)) });
  }
}

async function collect(generation: StartedGeneration): Promise<Choice> {
  const choice = new Choice();
  for await (const event of generation.events) choice.add(event);
  return choice;
}

/** The handler. */
export function chatCompletions(serving: Serving) {
  return async (context: Context): Promise<Response> => {
    const body = await readJsonBody(context, chatRequest);
    const abort = new AbortController();
    // Every choice listens to the same signal.
    setMaxListeners(MAX_CHOICES, abort.signal);
    const disconnected = (): void => abort.abort();
    context.req.raw.signal.addEventListener('abort', disconnected, { once: true });
    const requests = Array.from({ length: body.n ?? 1 }, (_, choice) => toGenerateRequest(body, choice, abort.signal));
    const generations = await startTogether(serving, requests, abort, CHAT_FIELDS);
    if (body.stream === true) {
      return streamEvents(context, serving, disconnected, async (events) => {
        try {
          await sendChunks(events, serving, body, generations);
        } catch (error) {
          abort.abort();
          await events.send(toOpenAiError(error).body);
        }
        await events.done();
      });
    }
    try {
      const choices = await Promise.all(generations.map(collect));
      return context.json({
        id: newId('chatcmpl'),
        object: 'chat.completion',
        created: unixSeconds(),
        model: serving.modelId,
        choices: choices.map((choice, index) => choice.toJson(index, body.logprobs === true)),
        usage: openAiUsage(choices.flatMap((choice) => choice.done ?? [])),
      });
    } finally {
      abort.abort();
    }
  };
}
