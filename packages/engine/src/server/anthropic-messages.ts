/**
 * Anthropic's `POST /v1/messages` and `/v1/messages/count_tokens`.
 */

import type { Context } from 'hono';
import type { DoneEvent } from '../events.ts';
import { AnthropicBlocks, type MessageEvent } from './anthropic-blocks.ts';
import { abortWithClient, type EventStream, streamEvents } from './event-stream.ts';
import { anthropicErrorBody } from './errors/anthropic-error.ts';
import { type FieldNames, type OpenAiError, toOpenAiError } from './errors/openai-error.ts';
import { readJsonBody } from './json-body.ts';
import {
  countRequest,
  messagesRequest,
  schemaFieldsOf,
  showsThinking,
  toConversation,
  toGenerateRequest,
  wantsOneCall,
} from './schemas/anthropic.ts';
import { logFailure, newId, type Serving, type StartedGeneration, startGeneration } from './serving.ts';

/** Where messages keep the schemas of formats, and stop strings. */
const FIELDS: FieldNames = [
  [/^responseFormat\.schema/, 'output_config.format.schema'],
  [/^stop/, 'stop_sequences'],
];

function stopOf(done: DoneEvent): { stop_reason: string; stop_sequence: string | null } {
  const sequence = typeof done.stoppedBy === 'string' ? done.stoppedBy : null;
  if (sequence !== null) return { stop_reason: 'stop_sequence', stop_sequence: sequence };
  const reasons = { stop: 'end_turn', length: 'max_tokens', 'tool-calls': 'tool_use' };
  return { stop_reason: reasons[done.finishReason], stop_sequence: null };
}

function usage(promptTokens: number, cachedTokens: number, outputTokens: number): object {
  return {
    input_tokens: promptTokens - cachedTokens,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cachedTokens,
    output_tokens: outputTokens,
  };
}

const usageOf = (done: DoneEvent): object =>
  usage(done.usage.promptTokens, done.usage.cachedTokens, done.usage.completionTokens);

/** The message with its id and model, the rest as it is so far. */
function messageJson(head: object, content: object[], end: object, used: object): object {
  return { ...head, type: 'message', role: 'assistant', content, ...end, usage: used };
}

const NOT_OVER = { stop_reason: null, stop_sequence: null };

async function sendMessage(
  events: EventStream,
  head: object,
  blocks: AnthropicBlocks,
  generation: StartedGeneration,
  onFailure: (failure: OpenAiError) => void,
): Promise<void> {
  const send = (event: MessageEvent): Promise<void> => events.send(event, event.type);
  const message = messageJson(head, [], NOT_OVER, usage(generation.promptTokens, 0, 0));
  await send({ type: 'message_start', message });
  try {
    for await (const event of generation.events) {
      for (const next of blocks.push(event)) await send(next);
      if (event.type !== 'done') continue;
      for (const next of blocks.finish()) await send(next);
      await send({ type: 'message_delta', delta: stopOf(event), usage: usageOf(event) });
    }
    await send({ type: 'message_stop' });
  } catch (error) {
    const failure = toOpenAiError(error, FIELDS);
    onFailure(failure);
    await send({ ...anthropicErrorBody(failure), type: 'error' });
  }
}

async function collectMessage(head: object, blocks: AnthropicBlocks, generation: StartedGeneration): Promise<object> {
  let end: object = NOT_OVER;
  let used = usage(generation.promptTokens, 0, 0);
  for await (const event of generation.events) {
    blocks.push(event);
    if (event.type !== 'done') continue;
    end = stopOf(event);
    used = usageOf(event);
  }
  blocks.finish();
  return messageJson(head, blocks.toJson(), end, used);
}

/** The handlers. */
export function anthropicMessages(serving: Serving) {
  const open = (sealed: string): string | null => serving.seal.open(sealed);
  return {
    create: async (context: Context): Promise<Response> => {
      const body = await readJsonBody(context, serving, messagesRequest);
      const abort = abortWithClient(context);
      const generation = await startGeneration(serving, toGenerateRequest(body, open, abort.signal), {
        names: FIELDS,
        oneCall: wantsOneCall(body),
        reasoning: showsThinking(body),
        schemaFields: schemaFieldsOf(body),
      });
      const head = { id: newId('msg_'), model: serving.modelId };
      const blocks = new AnthropicBlocks((thinking) => serving.seal.seal(thinking));
      if (body.stream !== true) return context.json(await collectMessage(head, blocks, generation));
      return streamEvents(context, serving, abort, (events) =>
        sendMessage(events, head, blocks, generation, (failure) => logFailure(serving, context, failure)),
      );
    },
    count: async (context: Context): Promise<Response> => {
      const body = await readJsonBody(context, serving, countRequest);
      const { engine } = serving.holder;
      try {
        const maxTokens = engine.model.contextLength;
        return context.json({ input_tokens: engine.tokenize(toConversation(body, open), { maxTokens }).length });
      } catch (error) {
        throw toOpenAiError(error, FIELDS);
      }
    },
  };
}
