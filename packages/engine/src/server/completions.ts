/**
 * `POST /v1/completions`: plain text or token ids in, their continuation out. No harmony on either side.
 */

import type { Context } from 'hono';
import { z } from 'zod';
import type { DoneEvent, SampledTokenLogprob } from '../events.ts';
import type { GenerateRequest, PromptInput } from '../request.ts';
import { answerChoices } from './choices.ts';
import { readJsonBody } from './json-body.ts';
import { badRequest, type FieldNames, toOpenAiError } from './errors/openai-error.ts';
import { inputsOf, promptInput } from './schemas/prompt-input.ts';
import { refusedFields } from './schemas/refused.ts';
import {
  choiceCount,
  MAX_CHOICES,
  samplingFields,
  toSamplingOptions,
  topLogprobs,
  toTokenOptions,
} from './schemas/sampling.ts';
import type { Serving, StartedGeneration } from './serving.ts';

/** Completions have one field for every kind of prompt. */
const FIELDS: FieldNames = [[/^(?:messages|promptIds)/, 'prompt']];

/** OpenAI's default. */
const DEFAULT_MAX_TOKENS = 16;

const completionRequest = z.object({
  ...samplingFields,
  ...refusedFields,
  model: z.string().nullish(),
  prompt: promptInput,
  max_tokens: z.number().int().min(1).nullish(),
  n: choiceCount.nullish(),
  logprobs: topLogprobs.nullish(),
  echo: z.boolean().nullish(),
  suffix: z.literal('', 'suffix is not supported: the model continues a prompt, it fills no gaps').nullish(),
  response_format: z.null('not supported here: send messages to /v1/chat/completions').optional(),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
});

type CompletionRequest = z.output<typeof completionRequest>;

/** Each prompt of a request. */
function prompts(prompt: CompletionRequest['prompt']): PromptInput[] {
  return inputsOf(prompt).map((input) => (typeof input === 'string' ? { prompt: input } : { promptIds: input }));
}

function toRequest(body: CompletionRequest, prompt: PromptInput, choice: number, signal: AbortSignal): GenerateRequest {
  return {
    ...prompt,
    output: 'text',
    ...toSamplingOptions(body, choice),
    ...toTokenOptions(body),
    maxTokens: body.max_tokens ?? DEFAULT_MAX_TOKENS,
    ...(body.logprobs != null ? { logprobs: body.logprobs } : {}),
    signal,
  };
}

/** What each choice's text begins with: the prompt where `echo` asks for it. @throws OpenAiError 400 */
function echoes(serving: Serving, body: CompletionRequest, inputs: readonly PromptInput[]): string[] {
  if (body.echo !== true) return inputs.map(() => '');
  if (body.logprobs != null) {
    throw badRequest('echo', 'echo has no log-probabilities of the prompt · found logprobs beside it · use /v1/score');
  }
  const { engine } = serving.holder;
  return inputs.map(({ prompt, promptIds }) => {
    try {
      return prompt ?? engine.detokenize(promptIds ?? []);
    } catch (error) {
      throw toOpenAiError(error, [[/^ids/, 'prompt']]);
    }
  });
}

/** The old completions format: parallel arrays. */
function openAiLogprobs(tokens: readonly SampledTokenLogprob[], startOffset: number): object {
  let offset = startOffset;
  const textOffset = tokens.map(({ token }) => {
    const here = offset;
    offset += token.length;
    return here;
  });
  return {
    tokens: tokens.map(({ token }) => token),
    token_logprobs: tokens.map(({ logprob }) => logprob),
    top_logprobs: tokens.map(({ top }) => Object.fromEntries(top.map(({ token, logprob }) => [token, logprob]))),
    text_offset: textOffset,
  };
}

const finishReason = (done: DoneEvent | null): string | null =>
  done === null ? null : done.finishReason === 'length' ? 'length' : 'stop';

/** Reads one generation; `onText` sees each piece. */
async function readText(
  generation: StartedGeneration,
  onText: (text: string, logprobs: readonly SampledTokenLogprob[]) => Promise<void> | void,
): Promise<DoneEvent | null> {
  for await (const event of generation.events) {
    if (event.type === 'content') await onText(event.text, event.logprobs ?? []);
    if (event.type === 'done') return event;
  }
  return null;
}

/** The handler. */
export function completions(serving: Serving) {
  return async (context: Context): Promise<Response> => {
    const body = await readJsonBody(context, serving, completionRequest);
    const inputs = prompts(body.prompt);
    const choices = body.n ?? 1;
    const total = inputs.length * choices;
    if (total > MAX_CHOICES) {
      throw badRequest('prompt', `Too many choices · found ${total} · ask for at most ${MAX_CHOICES}`);
    }
    const wantsLogprobs = body.logprobs != null;
    const beginnings = echoes(serving, body, inputs);
    const beginningOf = (index: number): string => beginnings[Math.floor(index / choices)] ?? '';
    return await answerChoices(context, serving, {
      idPrefix: 'cmpl-',
      object: 'text_completion',
      chunkObject: 'text_completion',
      names: FIELDS,
      stream: body.stream === true,
      streamsUsage: body.stream_options?.include_usage === true,
      choicesPerPrompt: choices,
      requests: (signal) =>
        inputs.flatMap((prompt) =>
          Array.from({ length: choices }, (_, choice) => toRequest(body, prompt, choice, signal)),
        ),
      sendChoice: async (generation, index, send) => {
        let offset = 0;
        const beginning = beginningOf(index);
        if (beginning !== '') await send({ index, text: beginning, logprobs: null, finish_reason: null });
        const done = await readText(generation, async (text, tokens) => {
          const logprobs = wantsLogprobs ? openAiLogprobs(tokens, offset) : null;
          offset += text.length;
          await send({ index, text, logprobs, finish_reason: null });
        });
        await send({ index, text: '', logprobs: null, finish_reason: finishReason(done) });
        return done;
      },
      collectChoice: async (generation, index) => {
        const tokens: SampledTokenLogprob[] = [];
        let text = beginningOf(index);
        const done = await readText(generation, (piece, logprobs) => {
          text += piece;
          tokens.push(...logprobs);
        });
        const logprobs = wantsLogprobs ? openAiLogprobs(tokens, 0) : null;
        return { json: { index, text, logprobs, finish_reason: finishReason(done) }, done };
      },
    });
  };
}
