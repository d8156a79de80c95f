/**
 * `POST /tokenize`, `/detokenize` (vLLM's shapes) and `/v1/score` (log-likelihoods of whole texts).
 */

import { setMaxListeners } from 'node:events';
import type { Context } from 'hono';
import { z } from 'zod';
import type { PromptRequest, ScoreInput } from '../request.ts';
import { readJsonBody } from './json-body.ts';
import { badRequest, type FieldNames, toOpenAiError } from './errors/openai-error.ts';
import { chatRequest, toHarmonyMessages, toolsOf } from './schemas/chat.ts';
import { listOf, upTo } from './schemas/first-fault.ts';
import { inputsOf, promptInput } from './schemas/prompt-input.ts';
import { chatTool } from './schemas/chat-tools.ts';
import { MAX_TOOLS, reasoningEffort, toReasoningEffort } from './schemas/tools.ts';
import type { Serving } from './serving.ts';

/** Where `/tokenize` keeps a plain text. */
const TOKENIZE_TEXT_FIELDS: FieldNames = [[/^messages/, 'prompt']];

const DETOKENIZE_FIELDS: FieldNames = [[/^ids/, 'tokens']];

/** Where `/v1/score` keeps its inputs, of which there may be one or several. */
const scoreFields = (inputs: number): FieldNames => [
  [/^messages/, 'input'],
  [/^inputs\[(\d+)\](?:\.ids)?/, inputs === 1 ? 'input' : 'input[$1]'],
];

const tokenizeRequest = z.object({
  model: z.string().nullish(),
  prompt: z.string().optional(),
  messages: chatRequest.shape.messages.optional(),
  tools: upTo(MAX_TOOLS, chatTool).nullish(),
  reasoning_effort: reasoningEffort.nullish(),
});

/** The engine's request; null for an empty text, which has no tokens. @throws OpenAiError 400 */
function toPromptRequest({
  prompt,
  messages,
  tools,
  reasoning_effort: effort,
}: z.output<typeof tokenizeRequest>): PromptRequest | null {
  if ((prompt === undefined) === (messages === undefined)) {
    throw badRequest('prompt', 'Give exactly one of prompt and messages');
  }
  if (messages === undefined) return prompt === undefined || prompt === '' ? null : { prompt };
  return {
    messages: toHarmonyMessages(messages),
    tools: toolsOf({ tools }).declarations,
    ...(effort != null ? { reasoningEffort: toReasoningEffort(effort) } : {}),
  };
}

/**
 * `{prompt}` or `{messages}` to `{count, max_model_len, tokens}`, at most as many as the context holds. Special tokens in
 * a prompt's text are letters.
 */
export function tokenize(serving: Serving) {
  return async (context: Context): Promise<Response> => {
    const body = await readJsonBody(context, serving, tokenizeRequest);
    const { engine } = serving.holder;
    const request = toPromptRequest(body);
    const maxTokens = engine.model.contextLength;
    let tokens: number[] = [];
    try {
      if (request !== null) tokens = engine.tokenize(request, { maxTokens });
    } catch (error) {
      throw toOpenAiError(error, body.messages === undefined ? TOKENIZE_TEXT_FIELDS : []);
    }
    return context.json({ count: tokens.length, max_model_len: maxTokens, tokens });
  };
}

const detokenizeRequest = z.object({ model: z.string().nullish(), tokens: listOf(z.number().int().min(0)) });

/** `{tokens}` to `{prompt}`, special tokens as their text. */
export function detokenize(serving: Serving) {
  return async (context: Context): Promise<Response> => {
    const { tokens } = await readJsonBody(context, serving, detokenizeRequest);
    const { engine } = serving.holder;
    try {
      return context.json({ prompt: engine.detokenize(tokens) });
    } catch (error) {
      throw toOpenAiError(error, DETOKENIZE_FIELDS);
    }
  };
}

/** Inputs of one request, at most. */
const MAX_SCORE_INPUTS = 64;

const scoreRequest = z.object({
  model: z.string().nullish(),
  input: promptInput,
  logprobs: z.boolean().nullish(),
});

function scoreInputs(input: z.output<typeof promptInput>): ScoreInput[] {
  const inputs = inputsOf(input).map((item) => (typeof item === 'string' ? { text: item } : { ids: item }));
  if (inputs.length <= MAX_SCORE_INPUTS) return inputs;
  throw badRequest('input', `Too many inputs · found ${inputs.length} · give at most ${MAX_SCORE_INPUTS}`);
}

/**
 * `{input}`, a text, token ids, or an array of either, to `{data: [{index, nll, tokens}]}`: nll is in nats, summed over
 * all tokens but the first. Text is read with its special tokens. `logprobs: true` adds each token's.
 */
export function score(serving: Serving) {
  return async (context: Context): Promise<Response> => {
    const body = await readJsonBody(context, serving, scoreRequest);
    const { engine } = serving.holder;
    // Every input listens to the same signal, beside the server itself.
    setMaxListeners(MAX_SCORE_INPUTS + 10, context.req.raw.signal);
    const inputs = scoreInputs(body.input);
    const results = await engine.score(inputs, { signal: context.req.raw.signal }).catch((error: unknown) => {
      throw toOpenAiError(error, scoreFields(inputs.length));
    });
    const promptTokens = results.reduce((sum, { tokens }) => sum + tokens, 0);
    return context.json({
      object: 'list',
      model: serving.modelId,
      data: results.map(({ nll, tokens, logprobs }, index) => ({
        object: 'score',
        index,
        nll,
        tokens,
        ...(body.logprobs === true ? { logprobs: Array.from(logprobs) } : {}),
      })),
      usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
    });
  };
}
