/**
 * The body of `POST /v1/chat/completions` and what the engine makes of it.
 * Unknown fields are ignored, as vLLM does: clients send many that no open model has.
 *
 * @module
 */
import type { HarmonyAssistantMessage, HarmonyMessage } from '@switchyard/models';
import { z } from 'zod';
import type { GenerateRequest } from '../../request.ts';
import { badRequest } from '../errors/openai-error.ts';
import { content, plainText } from './content.ts';
import { listOf, someOf, upTo } from './first-fault.ts';
import {
  choiceCount,
  refusedFields,
  samplingFields,
  toSamplingOptions,
  toStopOptions,
  topLogprobs,
} from './sampling.ts';
import {
  chatResponseFormat,
  chatTool,
  chatToolChoice,
  MAX_TOOLS,
  reasoningEffort,
  toHarmonyTools,
  toReasoningEffort,
  toResponseFormat,
  toolName,
  toToolChoice,
} from './tools.ts';

const toolCall = z.object({
  id: z.string(),
  type: z.literal('function').nullish(),
  function: z.object({ name: toolName, arguments: z.string() }),
});

const message = z.discriminatedUnion('role', [
  z.object({ role: z.literal('system'), content }),
  z.object({ role: z.literal('developer'), content }),
  z.object({ role: z.literal('user'), content }),
  z.object({
    role: z.literal('assistant'),
    content: content.nullish(),
    reasoning: z.string().nullish(),
    reasoning_content: z.string().nullish(),
    tool_calls: listOf(toolCall).nullish(),
  }),
  z.object({ role: z.literal('tool'), content, tool_call_id: z.string(), name: toolName.nullish() }),
]);

export const chatRequest = z.object({
  ...samplingFields,
  ...refusedFields,
  model: z.string().nullish(),
  messages: someOf(message),
  max_tokens: z.number().int().min(1).nullish(),
  max_completion_tokens: z.number().int().min(1).nullish(),
  n: choiceCount.nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: topLogprobs.nullish(),
  tools: upTo(MAX_TOOLS, chatTool).nullish(),
  tool_choice: chatToolChoice.nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  response_format: chatResponseFormat.nullish(),
  reasoning_effort: reasoningEffort.nullish(),
  functions: z.null('functions were replaced by tools: send them there').optional(),
  function_call: z.null('function_call was replaced by tool_choice: send that').optional(),
});

export type ChatRequest = z.output<typeof chatRequest>;

function toAssistant(source: Extract<ChatRequest['messages'][number], { role: 'assistant' }>): HarmonyAssistantMessage {
  const analysis = source.reasoning ?? source.reasoning_content;
  const text = source.content == null ? '' : plainText(source.content);
  return {
    role: 'assistant',
    ...(analysis != null && analysis !== '' ? { analysis } : {}),
    ...(source.tool_calls != null && source.tool_calls.length > 0
      ? {
          toolCalls: source.tool_calls.map((call) => ({
            id: call.id,
            name: call.function.name,
            arguments: call.function.arguments,
          })),
        }
      : {}),
    ...(text !== '' || source.tool_calls == null || source.tool_calls.length === 0 ? { content: text } : {}),
  };
}

/** OpenAI's messages as harmony's. A tool's result gets the name of the call that its id belongs to. */
export function toHarmonyMessages(messages: ChatRequest['messages']): HarmonyMessage[] {
  const names = new Map<string, string>();
  return messages.map((source, index) => {
    switch (source.role) {
      case 'system':
      case 'developer':
      case 'user':
        return { role: source.role, content: plainText(source.content) };
      case 'assistant':
        for (const call of source.tool_calls ?? []) names.set(call.id, call.function.name);
        return toAssistant(source);
      case 'tool': {
        const name = names.get(source.tool_call_id) ?? source.name;
        if (name == null) {
          throw badRequest(
            `messages[${index}].tool_call_id`,
            `The tool result belongs to no call · found the id ${JSON.stringify(source.tool_call_id)} · put the assistant message with that call before it`,
          );
        }
        return { role: 'tool', name, toolCallId: source.tool_call_id, content: plainText(source.content) };
      }
      default:
        return source satisfies never;
    }
  });
}

/** The engine's request for one choice. @throws OpenAiError 400 */
export function toGenerateRequest(body: ChatRequest, choice: number, signal: AbortSignal): GenerateRequest {
  const tools = toHarmonyTools((body.tools ?? []).map((tool) => tool.function));
  const choiceOfTool = body.tool_choice ?? 'auto';
  const maxTokens = body.max_completion_tokens ?? body.max_tokens;
  if (body.top_logprobs != null && body.logprobs !== true) {
    throw badRequest('top_logprobs', 'top_logprobs needs logprobs · found logprobs not set · set it to true');
  }
  const format = body.response_format;
  return {
    messages: toHarmonyMessages(body.messages),
    ...(tools.length > 0 ? { tools } : {}),
    toolChoice: toToolChoice(typeof choiceOfTool === 'object' ? choiceOfTool.function : choiceOfTool, tools),
    ...(body.reasoning_effort != null ? { reasoningEffort: toReasoningEffort(body.reasoning_effort) } : {}),
    ...(format != null
      ? {
          responseFormat: toResponseFormat(
            format.type === 'json_schema' ? { type: 'json_schema', ...format.json_schema } : format,
          ),
        }
      : {}),
    ...toSamplingOptions(body, choice),
    ...toStopOptions(body),
    ...(maxTokens != null ? { maxTokens } : {}),
    ...(body.logprobs === true ? { logprobs: body.top_logprobs ?? 0 } : {}),
    signal,
  };
}
