/**
 * The body of `POST /v1/responses` and what the engine makes of it.
 *
 * @module
 */
import type { HarmonyAssistantMessage, HarmonyMessage, HarmonyToolCall } from '@switchyard/models';
import { z } from 'zod';
import type { GenerateRequest } from '../../request.ts';
import { badRequest } from '../errors/openai-error.ts';
import { content, plainText } from './content.ts';
import { listOf, mapOf, someOf, upTo } from './first-fault.ts';
import { samplingFields, toSamplingOptions, toStopOptions, topLogprobs } from './sampling.ts';
import {
  MAX_TOOLS,
  reasoningEffort,
  responsesTextFormat,
  responsesTool,
  responsesToolChoice,
  toHarmonyTools,
  toReasoningEffort,
  toResponseFormat,
  toolName,
  toToolChoice,
} from './tools.ts';

/** Entries of `metadata`, at most: OpenAI's limit. */
const MOST_METADATA = 16;

const messageItem = z.object({
  type: z.literal('message').optional(),
  role: z.enum(['system', 'developer', 'user', 'assistant']),
  content,
});
const functionCallItem = z.object({
  type: z.literal('function_call'),
  call_id: z.string(),
  name: toolName,
  arguments: z.string(),
});
const functionOutputItem = z.object({
  type: z.literal('function_call_output'),
  call_id: z.string(),
  output: content,
});
const reasoningItem = z.object({
  type: z.literal('reasoning'),
  summary: listOf(z.object({ text: z.string() })).nullish(),
  content: listOf(z.object({ text: z.string() })).nullish(),
});
const inputItem = z.union([messageItem, functionCallItem, functionOutputItem, reasoningItem]);

export const responsesRequest = z.object({
  ...samplingFields,
  model: z.string().nullish(),
  input: z.union([z.string().min(1), someOf(inputItem)]),
  instructions: z.string().nullish(),
  max_output_tokens: z.number().int().min(1).nullish(),
  metadata: mapOf(z.string(), z.string(), MOST_METADATA).nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  previous_response_id: z.null('this server keeps no responses: send the earlier items in `input` instead').optional(),
  conversation: z.null('this server keeps no conversations: send the earlier items in `input` instead').optional(),
  background: z.literal(false, 'this server keeps no responses: wait for the answer, or stream it').nullish(),
  reasoning: z.object({ effort: reasoningEffort.nullish(), summary: z.string().nullish() }).nullish(),
  stream: z.boolean().nullish(),
  text: z.object({ format: responsesTextFormat.nullish() }).nullish(),
  tools: upTo(MAX_TOOLS, responsesTool).nullish(),
  tool_choice: responsesToolChoice.nullish(),
  top_logprobs: topLogprobs.nullish(),
  include: listOf(z.string()).nullish(),
});

export type ResponsesRequest = z.output<typeof responsesRequest>;
type InputItem = z.output<typeof inputItem>;

/** Reasoning, calls and message of one assistant step arrive as separate items: this puts them together again. */
class AssistantStep {
  #analysis = '';
  #content = '';
  readonly #calls: HarmonyToolCall[] = [];
  #used = false;

  /** Whether it has got past its reasoning: another message or reasoning begins the next step. */
  get hasSpoken(): boolean {
    return this.#content !== '' || this.#calls.length > 0;
  }

  reasoning(text: string): void {
    this.#used = true;
    this.#analysis += text;
  }
  message(text: string): void {
    this.#used = true;
    this.#content += text;
  }
  call(call: HarmonyToolCall): void {
    this.#used = true;
    this.#calls.push(call);
  }

  /** The step as a message; empty where nothing was added. */
  end(): HarmonyAssistantMessage[] {
    if (!this.#used) return [];
    // Reasoning alone says nothing to the model that made it once its turn is over.
    if (this.#content === '' && this.#calls.length === 0) return [];
    return [
      {
        role: 'assistant',
        ...(this.#analysis !== '' ? { analysis: this.#analysis } : {}),
        ...(this.#calls.length > 0 ? { toolCalls: this.#calls } : {}),
        ...(this.#content !== '' || this.#calls.length === 0 ? { content: this.#content } : {}),
      },
    ];
  }
}

function itemsToMessages(items: readonly InputItem[]): HarmonyMessage[] {
  const messages: HarmonyMessage[] = [];
  const names = new Map<string, string>();
  let step = new AssistantStep();
  const endStep = (): void => {
    messages.push(...step.end());
    step = new AssistantStep();
  };
  for (const [index, item] of items.entries()) {
    if (item.type === 'reasoning') {
      if (step.hasSpoken) endStep();
      const parts = item.content != null && item.content.length > 0 ? item.content : (item.summary ?? []);
      step.reasoning(parts.map((part) => part.text).join(''));
    } else if (item.type === 'function_call') {
      names.set(item.call_id, item.name);
      step.call({ id: item.call_id, name: item.name, arguments: item.arguments });
    } else if (item.type === 'function_call_output') {
      endStep();
      const name = names.get(item.call_id);
      if (name === undefined) {
        throw badRequest(
          `input[${index}].call_id`,
          `The tool result belongs to no call · found the id ${JSON.stringify(item.call_id)} · put its function_call before it`,
        );
      }
      messages.push({ role: 'tool', name, toolCallId: item.call_id, content: plainText(item.output) });
    } else if (item.role === 'assistant') {
      // Not over yet: what it says before its calls belongs to them.
      if (step.hasSpoken) endStep();
      step.message(plainText(item.content));
    } else {
      endStep();
      messages.push({ role: item.role, content: plainText(item.content) });
    }
  }
  endStep();
  return messages;
}

/** A request's input as harmony's messages; `instructions` go first. */
export function toHarmonyMessages(body: ResponsesRequest): HarmonyMessage[] {
  const messages: HarmonyMessage[] =
    typeof body.input === 'string' ? [{ role: 'user', content: body.input }] : itemsToMessages(body.input);
  return body.instructions == null ? messages : [{ role: 'developer', content: body.instructions }, ...messages];
}

/** Whether the caller asked for the log-probabilities of the answer. */
export function wantsLogprobs(body: ResponsesRequest): boolean {
  return body.top_logprobs != null || (body.include ?? []).includes('message.output_text.logprobs');
}

/** The engine's request. @throws OpenAiError 400 */
export function toGenerateRequest(body: ResponsesRequest, signal: AbortSignal): GenerateRequest {
  const tools = toHarmonyTools(body.tools ?? []);
  const format = body.text?.format;
  const effort = body.reasoning?.effort;
  return {
    messages: toHarmonyMessages(body),
    ...(tools.length > 0 ? { tools } : {}),
    toolChoice: toToolChoice(body.tool_choice ?? 'auto', tools),
    ...(effort != null ? { reasoningEffort: toReasoningEffort(effort) } : {}),
    ...(format != null ? { responseFormat: toResponseFormat(format) } : {}),
    ...toSamplingOptions(body),
    ...toStopOptions(body),
    ...(body.max_output_tokens != null ? { maxTokens: body.max_output_tokens } : {}),
    ...(wantsLogprobs(body) ? { logprobs: body.top_logprobs ?? 0 } : {}),
    signal,
  };
}
