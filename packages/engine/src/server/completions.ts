/**
 * `POST /v1/completions`: plain text or token ids in, their continuation out. No harmony on either side.
 *
 * @module
 */
import type { Context } from 'hono';
import { z } from 'zod';
import type { DoneEvent, SampledTokenLogprob } from '../events.ts';
import type { GenerateRequest, PromptInput } from '../request.ts';
import { answerChoices } from './choices.ts';
import { readJsonBody } from './json-body.ts';
import { badRequest, type FieldNames } from './errors/openai-error.ts';
import { inputsOf, promptInput } from './schemas/prompt-input.ts';
import {
  choiceCount,
  MAX_CHOICES,
  refusedFields,
  samplingFields,
  toSamplingOptions,
  toStopOptions,
  topLogprobs,
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
  echo: z.literal(false, 'echo is not supported: use /v1/score for the log-probabilities of a prompt').nullish(),
  suffix: z.literal('', 'suffix is not supported: the model continues a prompt, it fills no gaps').nullish(),
  best_of: z.literal(1, 'best_of is not supported: ask for n choices with logprobs and choose').nullish(),
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
    ...toStopOptions(body),
    maxTokens: body.max_tokens ?? DEFAULT_MAX_TOKENS,
    ...(body.logprobs != null ? { logprobs: body.logprobs } : {}),
    signal,
  };
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
        let text = '';
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
