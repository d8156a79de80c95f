/**
 * `POST /v1/responses`.
 *
 * @module
 */
import type { Context } from 'hono';
import type { DoneEvent } from '../events.ts';
import { abortWithClient, type EventStream, streamEvents } from './event-stream.ts';
import { readJsonBody } from './json-body.ts';
import { type FieldNames, type OpenAiError, toOpenAiError } from './errors/openai-error.ts';
import { type ResponseEvent, ResponseItems } from './response-items.ts';
import { type ResponsesRequest, responsesRequest, toGenerateRequest } from './schemas/responses.ts';
import {
  logFailure,
  newId,
  type Serving,
  type StartedGeneration,
  startGeneration,
  unixSeconds,
  withOneCall,
} from './serving.ts';

/** Where responses keep the schemas of formats and the limits of answers. */
const FIELDS: FieldNames = [
  [/^responseFormat\.schema/, 'text.format.schema'],
  [/^messages/, 'input'],
  [/^maxTokens/, 'max_output_tokens'],
];

type Status = 'in_progress' | 'completed' | 'incomplete' | 'failed';

/** What every state of one response has in common. */
interface ResponseHead {
  readonly id: string;
  readonly createdAt: number;
  readonly body: ResponsesRequest;
  readonly model: string;
}

function usage(done: DoneEvent): object {
  const { promptTokens, cachedTokens, completionTokens, reasoningTokens } = done.usage;
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: cachedTokens },
    output_tokens: completionTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens },
    total_tokens: promptTokens + completionTokens,
  };
}

function toJson(
  head: ResponseHead,
  status: Status,
  items: ResponseItems,
  done: DoneEvent | null,
  error: object | null,
): object {
  const { body } = head;
  return {
    id: head.id,
    object: 'response',
    created_at: head.createdAt,
    status,
    error,
    incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    metadata: body.metadata ?? {},
    model: head.model,
    output: items.toJson(),
    output_text: items.outputText,
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    previous_response_id: null,
    reasoning: { effort: body.reasoning?.effort ?? 'medium', summary: null },
    store: false,
    temperature: body.temperature ?? 1,
    text: { format: body.text?.format ?? { type: 'text' } },
    tool_choice: body.tool_choice ?? 'auto',
    tools: body.tools ?? [],
    top_p: body.top_p ?? 1,
    truncation: 'disabled',
    usage: done === null ? null : usage(done),
  };
}

const finalStatus = (done: DoneEvent | null): Status =>
  done === null ? 'failed' : done.finishReason === 'length' ? 'incomplete' : 'completed';

/** Of the item that was open at the end. */
const itemStatus = (status: Status): 'completed' | 'incomplete' => (status === 'completed' ? status : 'incomplete');

async function sendEvents(
  events: EventStream,
  head: ResponseHead,
  generation: StartedGeneration,
  onFailure: (failure: OpenAiError) => void,
): Promise<void> {
  const items = new ResponseItems();
  let sequence = 0;
  const send = async (event: ResponseEvent): Promise<void> => {
    await events.send({ ...event, sequence_number: sequence }, event.type);
    sequence += 1;
  };
  const state = (status: Status, done: DoneEvent | null, error: object | null = null): object =>
    toJson(head, status, items, done, error);
  await send({ type: 'response.created', response: state('in_progress', null) });
  await send({ type: 'response.in_progress', response: state('in_progress', null) });
  try {
    let done: DoneEvent | null = null;
    for await (const event of generation.events) {
      if (event.type === 'done') done = event;
      for (const next of items.push(event)) await send(next);
    }
    const status = finalStatus(done);
    for (const next of items.finish(itemStatus(status))) await send(next);
    await send({ type: `response.${status}`, response: state(status, done) });
  } catch (error) {
    const failure = toOpenAiError(error);
    onFailure(failure);
    const { message, code } = failure;
    await send({ type: 'response.failed', response: state('failed', null, { code, message }) });
  }
}

/** The handler. */
export function responses(serving: Serving) {
  return async (context: Context): Promise<Response> => {
    const body = await readJsonBody(context, serving, responsesRequest);
    const abort = abortWithClient(context);
    const request = toGenerateRequest(body, abort.signal);
    const started = await startGeneration(serving, request).catch((error: unknown) => {
      throw toOpenAiError(error, FIELDS);
    });
    const generation = body.parallel_tool_calls === false ? withOneCall(started) : started;
    const head: ResponseHead = { id: newId('resp_'), createdAt: unixSeconds(), body, model: serving.modelId };
    if (body.stream === true) {
      return streamEvents(context, serving, abort, (events) =>
        sendEvents(events, head, generation, (failure) => logFailure(serving, context, failure)),
      );
    }
    const items = new ResponseItems();
    let done: DoneEvent | null = null;
    for await (const event of generation.events) {
      if (event.type === 'done') done = event;
      items.push(event);
    }
    const status = finalStatus(done);
    items.finish(itemStatus(status));
    return context.json(toJson(head, status, items, done, null));
  };
}
