/**
 * `POST /v1/chat/completions`.
 */

import type { Context } from 'hono';
import type { DoneEvent, FinishReason, GenerateEvent, SampledTokenLogprob } from '../events.ts';
import { answerChoices } from './choices.ts';
import { readJsonBody } from './json-body.ts';
import type { FieldNames } from './errors/openai-error.ts';
import { type ChatToolCall, ChatCalls } from './chat-calls.ts';
import { logprobsJson } from './logprobs-json.ts';
import { type RoutedExperts, routedExpertsOf } from './routed-experts.ts';
import { chatRequest, toGenerateRequest, toolsOf } from './schemas/chat.ts';
import type { Serving, StartedGeneration } from './serving.ts';

/** Where chat completions keep the schemas of formats. */
const FIELDS: FieldNames = [[/^responseFormat\.schema/, 'response_format.json_schema.schema']];

type OpenAiFinishReason = 'stop' | 'length' | 'tool_calls';

const FINISH: Readonly<Record<FinishReason, OpenAiFinishReason>> = {
  stop: 'stop',
  length: 'length',
  'tool-calls': 'tool_calls',
};

function openAiLogprobs(tokens: readonly SampledTokenLogprob[]): object {
  return { content: logprobsJson(tokens), refusal: null };
}

/** What a request says of its choices. */
interface ChoiceOptions {
  readonly wantsLogprobs: boolean;
  readonly showsReasoning: boolean;
  readonly calls: ChatCalls;
  /** A token's text. */
  readonly textOf: (id: number) => string;
}

/** One choice as it grows. */
class Choice {
  reasoning = '';
  content = '';
  readonly toolCalls: ChatToolCall[] = [];
  readonly logprobs: SampledTokenLogprob[] = [];
  readonly routedExperts: RoutedExperts[] = [];
  done: DoneEvent | null = null;

  readonly #options: ChoiceOptions;

  constructor(options: ChoiceOptions) {
    this.#options = options;
  }

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
        this.toolCalls.push(this.#options.calls.whole(event.call));
        break;
      case 'done':
        this.done = event;
        break;
      case 'routing':
        this.routedExperts.push(routedExpertsOf(event, this.#options.textOf));
        break;
      case 'queued':
      case 'tool-call-start':
      case 'tool-call-delta':
        break;
      default:
        event satisfies never;
    }
  }

  toJson(index: number): object {
    const { wantsLogprobs, showsReasoning } = this.#options;
    const reasoning = this.reasoning === '' ? null : this.reasoning;
    return {
      index,
      message: {
        role: 'assistant',
        content: this.content === '' && this.toolCalls.length > 0 ? null : this.content,
        // DeepSeek's and llama.cpp's clients read the second name.
        ...(showsReasoning ? { reasoning, reasoning_content: reasoning } : {}),
        refusal: null,
        ...(this.toolCalls.length > 0 ? { tool_calls: this.toolCalls } : {}),
      },
      logprobs: wantsLogprobs ? openAiLogprobs(this.logprobs) : null,
      ...(this.routedExperts.length > 0 ? { routed_experts: this.routedExperts } : {}),
      finish_reason: this.done === null ? null : FINISH[this.done.finishReason],
    };
  }
}

/** An event as the delta of a chunk; null where the event has none. */
function toDelta(event: GenerateEvent, { calls }: ChoiceOptions): object | null {
  switch (event.type) {
    case 'analysis':
      return { reasoning: event.text, reasoning_content: event.text };
    case 'content':
      return { content: event.text };
    case 'tool-call-start':
    case 'tool-call-delta':
    case 'tool-call-end':
      return calls.delta(event);
    case 'queued':
    case 'routing':
    case 'done':
      return null;
    default:
      return event satisfies never;
  }
}

async function streamChoice(
  generation: StartedGeneration,
  index: number,
  options: ChoiceOptions,
  send: (choice: object) => Promise<void>,
): Promise<DoneEvent | null> {
  await send({ index, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null });
  for await (const event of generation.events) {
    if (event.type === 'done') {
      await send({ index, delta: {}, logprobs: null, finish_reason: FINISH[event.finishReason] });
      return event;
    }
    if (event.type === 'routing') {
      const routed = [routedExpertsOf(event, options.textOf)];
      await send({ index, delta: {}, logprobs: null, routed_experts: routed, finish_reason: null });
      continue;
    }
    const delta = toDelta(event, options);
    if (delta === null) continue;
    const tokens = event.type === 'content' && options.wantsLogprobs ? event.logprobs : undefined;
    await send({ index, delta, logprobs: tokens === undefined ? null : openAiLogprobs(tokens), finish_reason: null });
  }
  return null;
}

async function collectChoice(generation: StartedGeneration, options: ChoiceOptions): Promise<Choice> {
  const choice = new Choice(options);
  for await (const event of generation.events) choice.add(event);
  return choice;
}

/** The handler. */
export function chatCompletions(serving: Serving) {
  return async (context: Context): Promise<Response> => {
    const body = await readJsonBody(context, serving, chatRequest);
    const tools = toolsOf(body);
    const options: ChoiceOptions = {
      wantsLogprobs: body.logprobs === true,
      showsReasoning: body.include_reasoning !== false,
      calls: new ChatCalls(tools.custom),
      textOf: (id) => serving.holder.engine.detokenize([id]),
    };
    const choices = body.n ?? 1;
    return await answerChoices(context, serving, {
      idPrefix: 'chatcmpl-',
      object: 'chat.completion',
      chunkObject: 'chat.completion.chunk',
      names: FIELDS,
      schemaFields: tools.schemaFields,
      oneCall: body.parallel_tool_calls === false,
      reasoning: options.showsReasoning,
      stream: body.stream === true,
      streamsUsage: body.stream_options?.include_usage === true,
      choicesPerPrompt: choices,
      requests: (signal) =>
        Array.from({ length: choices }, (_, choice) => toGenerateRequest(body, tools, choice, signal)),
      sendChoice: (generation, index, send) => streamChoice(generation, index, options, send),
      collectChoice: async (generation, index) => {
        const choice = await collectChoice(generation, options);
        return { json: choice.toJson(index), done: choice.done };
      },
    });
  };
}
