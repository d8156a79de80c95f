/**
 * The body of Anthropic's `POST /v1/messages` and what the engine makes of it.
 */

import type { HarmonyMessage, HarmonyToolCall } from '@switchyard/models';
import { z } from 'zod';
import type { GenerateRequest, ToolDeclaration } from '../../request.ts';
import { MOST_STOP_STRINGS } from '../../ranges.ts';
import { badRequest } from '../errors/openai-error.ts';
import { plainText } from './content.ts';
import { listOf, someOf, upTo } from './first-fault.ts';
import { toSamplingOptions } from './sampling.ts';
import {
  checkDistinct,
  chooseTools,
  functionToDeclaration,
  jsonObject,
  MAX_TOOLS,
  reasoningEffort,
  type RequestedChoice,
  toolName,
  toReasoningEffort,
  toResponseFormat,
} from './tools.ts';

const textBlock = z.object({ type: z.literal('text', 'only text is supported here'), text: z.string() });
const texts = z.union([z.string(), listOf(textBlock)]);

const userBlock = z.discriminatedUnion('type', [
  textBlock,
  z.object({
    type: z.literal('tool_result'),
    tool_use_id: z.string(),
    content: texts.nullish(),
    is_error: z.boolean().nullish(),
  }),
]);
const assistantBlock = z.discriminatedUnion('type', [
  textBlock,
  z.object({ type: z.literal('thinking'), thinking: z.string(), signature: z.string().nullish() }),
  z.object({ type: z.literal('redacted_thinking'), data: z.string() }),
  z.object({ type: z.literal('tool_use'), id: z.string(), name: toolName, input: jsonObject }),
]);

const message = z.discriminatedUnion('role', [
  z.object({ role: z.literal('user'), content: z.union([z.string(), listOf(userBlock)]) }),
  z.object({ role: z.literal('assistant'), content: z.union([z.string(), listOf(assistantBlock)]) }),
  // Claude Code puts some among the others.
  z.object({ role: z.literal('system'), content: texts }),
]);

/** Tools that Anthropic runs, or that only its models know, have a version in their type: null, the model is not told of them. */
const hostedTool = z
  .looseObject({ type: z.string().regex(/_\d{8}$/, 'give "custom", or leave it out') })
  .transform(() => null);
const functionTool = z.object({
  type: z.literal('custom').nullish(),
  name: toolName,
  description: z.string().nullish(),
  input_schema: jsonObject,
  strict: z.boolean().nullish(),
});

const single = { disable_parallel_tool_use: z.boolean().nullish() };

/** What counting tokens and answering have in common. */
const conversation = {
  model: z.string().nullish(),
  messages: someOf(message),
  system: texts.nullish(),
  tools: upTo(MAX_TOOLS, z.union([functionTool, hostedTool])).nullish(),
  tool_choice: z
    .discriminatedUnion('type', [
      z.object({ type: z.literal('auto'), ...single }),
      z.object({ type: z.literal('any'), ...single }),
      z.object({ type: z.literal('tool'), name: toolName, ...single }),
      z.object({ type: z.literal('none') }),
    ])
    .nullish(),
  thinking: z.object({ type: z.enum(['enabled', 'disabled', 'adaptive']) }).nullish(),
  output_config: z
    .object({
      effort: reasoningEffort.nullish(),
      format: z.object({ type: z.literal('json_schema'), schema: jsonObject }).nullish(),
    })
    .nullish(),
};

export const countRequest = z.object(conversation);

export const messagesRequest = z.object({
  ...conversation,
  max_tokens: z.number().int().min(1),
  stream: z.boolean().nullish(),
  temperature: z.number().min(0).max(1).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.number().int().min(0).nullish(),
  stop_sequences: upTo(MOST_STOP_STRINGS, z.string().min(1)).nullish(),
});

export type CountRequest = z.output<typeof countRequest>;
export type MessagesRequest = z.output<typeof messagesRequest>;

/** Whether the client is shown what the model thinks. */
export function showsThinking({ thinking }: CountRequest): boolean {
  return thinking != null && thinking.type !== 'disabled';
}

/** Whether at most one call may come. */
export function wantsOneCall({ tool_choice: choice }: CountRequest): boolean {
  return choice != null && 'disable_parallel_tool_use' in choice && choice.disable_parallel_tool_use === true;
}

/** Results go before the words that come with them: they belong to the calls of the message before. */
function userMessages(
  content: Extract<CountRequest['messages'][number], { role: 'user' }>['content'],
): HarmonyMessage[] {
  if (typeof content === 'string') return [{ role: 'user', content }];
  const results = content.flatMap((block): HarmonyMessage[] => {
    if (block.type !== 'tool_result') return [];
    const text = block.content == null ? '' : plainText(block.content);
    return [
      { role: 'tool', toolCallId: block.tool_use_id, content: block.is_error === true ? `Error: ${text}` : text },
    ];
  });
  const words = content.flatMap((block) => (block.type === 'text' ? [block.text] : []));
  return words.length > 0 || results.length === 0 ? [...results, { role: 'user', content: words.join('') }] : results;
}

function assistantMessage(
  content: Extract<CountRequest['messages'][number], { role: 'assistant' }>['content'],
  open: (sealed: string) => string | null,
): HarmonyMessage {
  if (typeof content === 'string') return { role: 'assistant', content };
  const thoughts: string[] = [];
  const words: string[] = [];
  const toolCalls: HarmonyToolCall[] = [];
  for (const block of content) {
    if (block.type === 'text') words.push(block.text);
    else if (block.type === 'thinking') thoughts.push(block.thinking);
    else if (block.type === 'redacted_thinking') thoughts.push(open(block.data) ?? '');
    else toolCalls.push({ id: block.id, name: block.name, arguments: JSON.stringify(block.input) });
  }
  const analysis = thoughts.filter((text) => text !== '').join('\n');
  return {
    role: 'assistant',
    ...(analysis === '' ? {} : { analysis }),
    ...(toolCalls.length === 0 ? {} : { toolCalls }),
    ...(words.length === 0 && toolCalls.length > 0 ? {} : { content: words.join('\n') }),
  };
}

function toMessages(body: CountRequest, open: (sealed: string) => string | null): HarmonyMessage[] {
  const system = body.system == null ? '' : plainText(body.system);
  const last = body.messages.length - 1;
  if (body.messages[last]?.role === 'assistant') {
    throw badRequest(
      `messages[${last}]`,
      "The last message is the assistant's · an answer that is begun cannot be gone on with · end with a user message",
    );
  }
  const messages = body.messages.flatMap((item): HarmonyMessage[] => {
    if (item.role === 'user') return userMessages(item.content);
    if (item.role === 'system') return [{ role: 'system', content: plainText(item.content) }];
    return [assistantMessage(item.content, open)];
  });
  return system === '' ? messages : [{ role: 'system', content: system }, ...messages];
}

/** The functions of a request, each with its place there. */
function functionsOf({ tools }: CountRequest) {
  return (tools ?? []).flatMap((tool, index) => (tool === null ? [] : [{ tool, place: `tools[${index}]` }]));
}

/** Where the request has the schemas of its tools' arguments, by the tools' names. */
export function schemaFieldsOf(body: CountRequest): ReadonlyMap<string, string> {
  return new Map(functionsOf(body).map(({ tool, place }) => [tool.name, `${place}.input_schema`]));
}

function toDeclarations(body: CountRequest): ToolDeclaration[] {
  const functions = functionsOf(body);
  const declarations = functions.map(({ tool }) => functionToDeclaration({ ...tool, parameters: tool.input_schema }));
  checkDistinct(
    declarations,
    functions.map(({ place }) => place),
  );
  return declarations;
}

function toChoice({ tool_choice: choice }: CountRequest): RequestedChoice {
  if (choice == null || choice.type === 'auto') return 'auto';
  if (choice.type === 'any') return 'required';
  return choice.type === 'tool' ? { name: choice.name } : 'none';
}

/** What a prompt is made of. @throws OpenAiError 400 */
export function toConversation(body: CountRequest, open: (sealed: string) => string | null) {
  const { effort, format } = body.output_config ?? {};
  return {
    messages: toMessages(body, open),
    ...chooseTools(toChoice(body), toDeclarations(body)),
    ...(effort != null ? { reasoningEffort: toReasoningEffort(effort) } : {}),
    ...(format != null ? { responseFormat: toResponseFormat(format) } : {}),
  };
}

/** The engine's request. @throws OpenAiError 400 */
export function toGenerateRequest(
  body: MessagesRequest,
  open: (sealed: string) => string | null,
  signal: AbortSignal,
): GenerateRequest {
  const { temperature, top_p, top_k, stop_sequences: stop } = body;
  return {
    ...toConversation(body, open),
    ...toSamplingOptions({ temperature, top_p, top_k }),
    ...(stop != null && stop.length > 0 ? { stop } : {}),
    maxTokens: body.max_tokens,
    signal,
  };
}
