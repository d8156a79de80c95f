/**
 * The body of `POST /v1/responses` and what the engine makes of it.
 */

import { z } from 'zod';
import type { GenerateRequest } from '../../request.ts';
import { listOf, mapOf, someOf, upTo } from './first-fault.ts';
import { chatTemplateArguments, refusedFields } from './refused.ts';
import type { RequestTools } from './request-tools.ts';
import { type InputItem, type ItemReader, itemsToMessages, requestItem } from './response-input.ts';
import { responsesTool, responsesToolChoice, toRequestedChoice, toRequestTools } from './responses-tools.ts';
import { samplingFields, toSamplingOptions, topLogprobs, toTokenOptions } from './sampling.ts';
import {
  chooseTools,
  MAX_TOOLS,
  reasoningEffort,
  responsesTextFormat,
  toReasoningEffort,
  toResponseFormat,
} from './tools.ts';

/** Entries of `metadata`, at most: OpenAI's limit. */
const MOST_METADATA = 16;

const summaryKind = z.enum(['auto', 'concise', 'detailed', 'none']);

export const responsesRequest = z.object({
  ...samplingFields,
  ...refusedFields,
  model: z.string().nullish(),
  input: z.union([z.string().min(1), someOf(requestItem)]),
  instructions: z.string().nullish(),
  max_output_tokens: z.number().int().min(1).nullish(),
  metadata: mapOf(z.string(), z.string(), MOST_METADATA).nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  previous_response_id: z.string().nullish(),
  store: z.boolean().nullish(),
  conversation: z
    .null('this server keeps no conversations: send `previous_response_id`, or the earlier items in `input`')
    .optional(),
  prompt: z.null('this server keeps no prompts: send `instructions` and `input` instead').optional(),
  background: z.boolean().nullish(),
  reasoning: z
    .object({
      effort: reasoningEffort.nullish(),
      summary: summaryKind.nullish(),
      // Its earlier name.
      generate_summary: summaryKind.nullish(),
    })
    .nullish(),
  include_reasoning: z.boolean().nullish(),
  chat_template_kwargs: chatTemplateArguments.nullish(),
  // Chat completions' names of what is called otherwise here.
  n: z.literal(1, 'not supported: a response has one answer').nullish(),
  max_tokens: z.null('not supported: send max_output_tokens').optional(),
  max_completion_tokens: z.null('not supported: send max_output_tokens').optional(),
  reasoning_effort: z.null('not supported: send reasoning.effort').optional(),
  response_format: z.null('not supported: send text.format').optional(),
  stream: z.boolean().nullish(),
  text: z.object({ format: responsesTextFormat.nullish() }).nullish(),
  tools: upTo(MAX_TOOLS, responsesTool).nullish(),
  tool_choice: responsesToolChoice.nullish(),
  top_logprobs: topLogprobs.nullish(),
  include: listOf(z.string()).nullish(),
});

export type ResponsesRequest = z.output<typeof responsesRequest>;

/**
 * The tools of a request: its own and those that come with the conversation, of which the latest of a name counts.
 *
 * @param placeOfItem What the request calls an item of the conversation.
 * @throws OpenAiError 400 for two of one name, for too many, and for grammars that cannot be followed
 */
export function toolsOf(
  body: Pick<ResponsesRequest, 'tools'>,
  items: readonly InputItem[],
  placeOfItem: (index: number) => string,
): RequestTools {
  const tools = [...(body.tools ?? [])];
  const fields = tools.map((_, index) => `tools[${index}]`);
  // A conversation may bring thousands of tools: a search of the list for each would take seconds.
  const places = new Map<string, number>();
  for (const [index, tool] of tools.entries()) if (!places.has(keyOf(tool))) places.set(keyOf(tool), index);
  for (const [index, item] of items.entries()) {
    if (item.type !== 'additional_tools') continue;
    for (const [inner, tool] of item.tools.entries()) {
      const place = places.get(keyOf(tool)) ?? tools.length;
      places.set(keyOf(tool), place);
      tools[place] = tool;
      fields[place] = `${placeOfItem(index)}.tools[${inner}]`;
    }
  }
  return toRequestTools(tools, fields);
}

/** Kind and name. Hosted tools, which may have none, are all left out in the end. */
function keyOf({ type, name }: NonNullable<ResponsesRequest['tools']>[number]): string {
  return `${type} ${typeof name === 'string' ? name : ''}`;
}

/** Whether the caller asked for the log-probabilities of the answer. */
export function wantsLogprobs(body: ResponsesRequest): boolean {
  return body.top_logprobs != null || (body.include ?? []).includes('message.output_text.logprobs');
}

/** Whether reasoning items have a summary. */
export function wantsSummary({ reasoning }: ResponsesRequest): boolean {
  const summary = reasoning?.summary ?? reasoning?.generate_summary ?? 'none';
  return summary !== 'none';
}

/**
 * The engine's request.
 *
 * @param items The whole conversation: what the input names is in it.
 * @throws OpenAiError 400
 */
export function toGenerateRequest(
  body: ResponsesRequest,
  items: readonly InputItem[],
  tools: RequestTools,
  reader: ItemReader,
  signal: AbortSignal,
): GenerateRequest {
  const messages = itemsToMessages(items, reader);
  const format = body.text?.format;
  const template = body.chat_template_kwargs;
  const effort = body.reasoning?.effort ?? template?.reasoning_effort;
  return {
    messages: body.instructions == null ? messages : [{ role: 'developer', content: body.instructions }, ...messages],
    ...chooseTools(toRequestedChoice(body.tool_choice), tools.declarations),
    ...(effort != null ? { reasoningEffort: toReasoningEffort(effort) } : {}),
    ...(template?.model_identity != null ? { modelIdentity: template.model_identity } : {}),
    ...(format != null ? { responseFormat: toResponseFormat(format) } : {}),
    ...toSamplingOptions(body),
    ...toTokenOptions(body),
    ...(body.max_output_tokens != null ? { maxTokens: body.max_output_tokens } : {}),
    ...(wantsLogprobs(body) ? { logprobs: body.top_logprobs ?? 0 } : {}),
    signal,
  };
}
