/**
 * `POST /v1/completions`: plain text or token ids in, their continuation out. No harmony on either side.
 *
 * @module
 */
import { setMaxListeners } from 'node:events';
import type { Context } from 'hono';
import { z } from 'zod';
import type { DoneEvent, SampledTokenLogprob } from '../events.ts';
import type { GenerateRequest, PromptInput } from '../request.ts';
import { streamEvents } from './event-stream.ts';
import { readJsonBody } from './json-body.ts';
import { badRequest, toOpenAiError } from './openai-error.ts';
import { MAX_CHOICES } from './schemas/chat.ts';
import { samplingFields, toSamplingOptions, toStopOptions } from './schemas/sampling.ts';
import { newId, openAiUsage, type Serving, type StartedGeneration, startTogether, unixSeconds } from './serving.ts';

/** OpenAI's default. */
const DEFAULT_MAX_TOKENS = 16;

const tokenIds = z.array(z.number().int().min(0)).min(1);

const completionRequest = z.object({
  ...samplingFields,
  model: z.string().nullish(),
  prompt: z.union([z.string().min(1), tokenIds, z.array(z.string().min(1)).min(1), z.array(tokenIds).min(1)]),
  max_tokens: z.number().int().min(1).nullish(),
  n: z.number().int().min(1).max(MAX_CHOICES).nullish(),
  logprobs: z.number().int().min(0).max(20).nullish(),
  echo: z.literal(false, 'echo is not supported: use /v1/score for the log-probabilities of a prompt').nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
});

type CompletionRequest = z.output<typeof completionRequest>;

/** Each prompt of a request. */
function prompts(prompt: CompletionRequest['prompt']): PromptInput[] {
  if (typeof prompt === 'string') return [{ prompt }];
  const texts: PromptInput[] = [];
  const ids: number[] = [];
  for (const item of prompt) {
    if (typeof item === 'number') ids.push(item);
    else texts.push(typeof item === 'string' ? { prompt: item } : { promptIds: item });
  }
  return ids.length > 0 ? [{ promptIds: ids }] : texts;
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
    const body = await readJsonBody(context, completionRequest);
    const abort = new AbortController();
    // Every choice listens to the same signal.
    setMaxListeners(MAX_CHOICES, abort.signal);
    const disconnected = (): void => abort.abort();
    context.req.raw.signal.addEventListener('abort', disconnected, { once: true });
    const inputs = prompts(body.prompt);
    const choices = body.n ?? 1;
    if (inputs.length * choices > MAX_CHOICES) {
      throw badRequest(
        'prompt',
        `Too many choices · found ${inputs.length * choices} · ask for at most ${MAX_CHOICES}`,
      );
    }
    const requests = inputs.flatMap((prompt) =>
      Array.from({ length: choices }, (_, choice) => toRequest(body, prompt, choice, abort.signal)),
    );
    const generations = await startTogether(serving, requests, abort);
    const head = { id: newId('cmpl'), object: 'text_completion', created: unixSeconds(), model: serving.modelId };
    const wantsLogprobs = body.logprobs != null;
    if (body.stream === true) {
      return streamEvents(context, serving, disconnected, async (events) => {
        try {
          const done = await Promise.all(
            generations.map(async (generation, index) => {
              let offset = 0;
              const send = (text: string, logprobs: object | null, reason: string | null): Promise<void> =>
                events.send({ ...head, choices: [{ index, text, logprobs, finish_reason: reason }] });
              const end = await readText(generation, async (text, tokens) => {
                await send(text, wantsLogprobs ? openAiLogprobs(tokens, offset) : null, null);
                offset += text.length;
              });
              await send('', null, finishReason(end));
              return end;
            }),
          );
          if (body.stream_options?.include_usage === true) {
            await events.send({ ...head, choices: [], usage: openAiUsage(done.filter((event) => event !== null)) });
          }
        } catch (error) {
          abort.abort();
          await events.send(toOpenAiError(error).body);
        }
        await events.done();
      });
    }
    try {
      const results = await Promise.all(
        generations.map(async (generation) => {
          const tokens: SampledTokenLogprob[] = [];
          let text = '';
          const done = await readText(generation, (piece, logprobs) => {
            text += piece;
            tokens.push(...logprobs);
          });
          return { text, tokens, done };
        }),
      );
      return context.json({
        ...head,
        choices: results.map(({ text, tokens, done }, index) => ({
          index,
          text,
          logprobs: wantsLogprobs ? openAiLogprobs(tokens, 0) : null,
          finish_reason: finishReason(done),
        })),
        usage: openAiUsage(results.flatMap(({ done }) => done ?? [])),
      });
    } finally {
      abort.abort();
    }
  };
}
