/**
 * `POST /v1/responses`.
 */

import type { Context } from 'hono';
import { abortWithClient, streamEvents } from './event-stream.ts';
import { readJsonBody } from './json-body.ts';
import { badRequest, type FieldNames, type OpenAiError } from './errors/openai-error.ts';
import { streamLogged } from './logged-stream.ts';
import { resolveInput } from './response-context.ts';
import type { ResponseHead } from './response-json.ts';
import { ResponseRun } from './response-run.ts';
import {
  type ResponsesRequest,
  responsesRequest,
  toGenerateRequest,
  toolsOf,
  wantsSummary,
} from './schemas/responses.ts';
import { modelName } from './schemas/responses-tools.ts';
import { logFailure, newId, type Serving, startGeneration, unixSeconds } from './serving.ts';

/** Where responses keep the schemas of formats and the limits of answers. */
const FIELDS: FieldNames = [
  [/^responseFormat\.schema/, 'text.format.schema'],
  [/^messages/, 'input'],
  [/^maxTokens/, 'max_output_tokens'],
];

/** The sequence number before a stream's first. */
const BEFORE_FIRST = -1;

/** @throws OpenAiError 400 */
function checkBackground({ background, store }: ResponsesRequest, serving: Serving): void {
  if (background !== true || (store !== false && !serving.responses.isClosed)) return;
  const found = store === false ? 'store: false' : 'a server that keeps no responses';
  throw badRequest('background', `background keeps the response for later · found ${found} · leave background out`);
}

/** The handler. */
export function responses(serving: Serving) {
  return async (context: Context): Promise<Response> => {
    const body = await readJsonBody(context, serving, responsesRequest);
    checkBackground(body, serving);
    const input = resolveInput(body, serving.responses);
    const place = (index: number): string =>
      index < input.earlier ? 'previous_response_id' : `input[${index - input.earlier}]`;
    const tools = toolsOf(body, input.items, place);
    const abort = body.background === true ? new AbortController() : abortWithClient(context);
    const reader = {
      open: (sealed: string) => serving.seal.open(sealed),
      modelName: (name: string, namespace: string | null | undefined) => modelName(tools, name, namespace),
      place,
    };
    const request = toGenerateRequest(body, input.items, tools, reader, abort.signal);
    const generation = await startGeneration(serving, request, {
      names: FIELDS,
      oneCall: body.parallel_tool_calls === false,
      reasoning: body.include_reasoning !== false,
      schemaFields: tools.schemaFields,
    });
    const head: ResponseHead = { id: newId('resp_'), createdAt: unixSeconds(), body, model: serving.modelId };
    const seals = (body.include ?? []).includes('reasoning.encrypted_content');
    const run = new ResponseRun({
      head,
      context: input,
      generation,
      items: {
        tools,
        summarized: wantsSummary(body),
        seal: seals ? (text) => serving.seal.seal(text) : null,
      },
      store: body.store === false ? null : serving.responses,
      signal: abort.signal,
    });
    const onFailure = (failure: OpenAiError): void => logFailure(serving, context, failure);
    if (body.background === true) {
      const streamed = body.stream === true;
      const first = serving.background.start(run, { id: head.id, abort, streamed, onFailure });
      const log = serving.background.events(head.id);
      return log === null ? context.json(first) : streamLogged(context, serving, log, BEFORE_FIRST);
    }
    if (body.stream === true) {
      return streamEvents(context, serving, abort, (events) => run.stream(events, onFailure));
    }
    const response = await run.collect();
    run.keep(response);
    return context.json(response);
  };
}
