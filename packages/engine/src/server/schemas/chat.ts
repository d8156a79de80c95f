/**
 * The body of `POST /v1/chat/completions` and what the engine makes of it.
 * Unknown fields are ignored, as vLLM does: clients send many that no open model has.
 */

import type { HarmonyAssistantMessage, HarmonyMessage } from '@switchyard/models';
import { z } from 'zod';
import type { GenerateRequest } from '../../request.ts';
import { badRequest } from '../errors/openai-error.ts';
import {
  chatTool,
  chatToolCall,
  chatToolChoice,
  toHarmonyCall,
  toRequestedChoice,
  toRequestTools,
} from './chat-tools.ts';
import { assistantContent, content, plainText } from './content.ts';
import { listOf, someOf, upTo } from './first-fault.ts';
import { chatTemplateArguments, refusedFields } from './refused.ts';
import type { RequestTools } from './request-tools.ts';
import { choiceCount, samplingFields, toSamplingOptions, topLogprobs, toTokenOptions } from './sampling.ts';
import {
  chatResponseFormat,
  chooseTools,
  MAX_TOOLS,
  reasoningEffort,
  toReasoningEffort,
  toResponseFormat,
  toolName,
} from './tools.ts';

const message = z.discriminatedUnion('role', [
  z.object({ role: z.literal('system'), content }),
  z.object({ role: z.literal('developer'), content }),
  z.object({ role: z.literal('user'), content }),
  z.object({
    role: z.literal('assistant'),
    content: assistantContent.nullish(),
    refusal: z.string().nullish(),
    reasoning: z.string().nullish(),
    reasoning_content: z.string().nullish(),
    tool_calls: listOf(chatToolCall).nullish(),
    function_call: z.null('function_call was replaced by tool_calls: send those').optional(),
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
  include_reasoning: z.boolean().nullish(),
  // SGLang's name; the answer's form is routed-experts.ts's.
  return_routed_experts: z.boolean().nullish(),
  chat_template_kwargs: chatTemplateArguments.nullish(),
  echo: z.literal(false, 'not supported: messages are not repeated').nullish(),
  functions: z.null('functions were replaced by tools: send them there').optional(),
  function_call: z.null('function_call was replaced by tool_choice: send that').optional(),
});

export type ChatRequest = z.output<typeof chatRequest>;

function toAssistant(source: Extract<ChatRequest['messages'][number], { role: 'assistant' }>): HarmonyAssistantMessage {
  const analysis = source.reasoning ?? source.reasoning_content;
  const said = source.content == null ? '' : plainText(source.content);
  const text = said === '' ? (source.refusal ?? '') : said;
  return {
    role: 'assistant',
    ...(analysis != null && analysis !== '' ? { analysis } : {}),
    ...(source.tool_calls != null && source.tool_calls.length > 0
      ? {
          toolCalls: source.tool_calls.map(toHarmonyCall),
        }
      : {}),
    ...(text !== '' || source.tool_calls == null || source.tool_calls.length === 0 ? { content: text } : {}),
  };
}

/** OpenAI's messages as harmony's. @throws OpenAiError 400 for a result whose call does not go before it */
export function toHarmonyMessages(messages: ChatRequest['messages']): HarmonyMessage[] {
  const calls = new Set<string>();
  return messages.map((source, index) => {
    switch (source.role) {
      case 'system':
      case 'developer':
      case 'user':
        return { role: source.role, content: plainText(source.content) };
      case 'assistant':
        for (const { id } of source.tool_calls ?? []) calls.add(id);
        return toAssistant(source);
      case 'tool': {
        if (!calls.has(source.tool_call_id)) {
          throw badRequest(
            `messages[${index}].tool_call_id`,
            `The tool result belongs to no call · found the id ${JSON.stringify(source.tool_call_id)} · put the assistant message with that call before it`,
          );
        }
        return { role: 'tool', toolCallId: source.tool_call_id, content: plainText(source.content) };
      }
      default:
        return source satisfies never;
    }
  });
}

/** The tools of a request. @throws OpenAiError 400 for two of one name */
export function toolsOf(body: Pick<ChatRequest, 'tools'>): RequestTools {
  return toRequestTools(body.tools ?? []);
}

/** The engine's request for one choice. @throws OpenAiError 400 */
export function toGenerateRequest(
  body: ChatRequest,
  { declarations }: RequestTools,
  choice: number,
  signal: AbortSignal,
): GenerateRequest {
  const template = body.chat_template_kwargs;
  const effort = body.reasoning_effort ?? template?.reasoning_effort;
  const maxTokens = body.max_completion_tokens ?? body.max_tokens;
  if (body.top_logprobs != null && body.logprobs !== true) {
    throw badRequest('top_logprobs', 'top_logprobs needs logprobs · found logprobs not set · set it to true');
  }
  const format = body.response_format;
  return {
    messages: toHarmonyMessages(body.messages),
    ...chooseTools(toRequestedChoice(body.tool_choice), declarations),
    ...(effort != null ? { reasoningEffort: toReasoningEffort(effort) } : {}),
    ...(template?.model_identity != null ? { modelIdentity: template.model_identity } : {}),
    ...(format != null
      ? {
          responseFormat: toResponseFormat(
            format.type === 'json_schema' ? { type: 'json_schema', ...format.json_schema } : format,
          ),
        }
      : {}),
    ...toSamplingOptions(body, choice),
    ...toTokenOptions(body),
    ...(maxTokens != null ? { maxTokens } : {}),
    ...(body.logprobs === true ? { logprobs: body.top_logprobs ?? 0 } : {}),
    ...(body.return_routed_experts === true ? { traceRouting: true } : {}),
    signal,
  };
}
