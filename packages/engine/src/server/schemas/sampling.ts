/**
 * The sampling fields that chat completions and completions share, as OpenAI and vLLM name them.
 */

import { z } from 'zod';
import {
  MOST_BAD_WORDS,
  MOST_STOP_STRINGS,
  MOST_TOP_LOGPROBS,
  type NumberRange,
  SAMPLING_RANGES,
} from '../../ranges.ts';
import type { GenerateRequest, SamplingOptions } from '../../request.ts';
import { mapOf, someOf, upTo } from './first-fault.ts';

/** OpenAI's default. The engine's own default is greedy. */
export const DEFAULT_TEMPERATURE = 1;

/** Entries of `logit_bias`, at most: the sampler goes through them for every token. */
const MOST_BIASES = 1024;

/** A token id as a key of `logit_bias`. */
const tokenIdKey = z.string().regex(/^\d{1,9}$/, 'keys are token ids');

const within = ({ minimum, maximum, aboveMinimum }: NumberRange) =>
  (aboveMinimum === true ? z.number().gt(minimum) : z.number().min(minimum)).max(maximum);

/** `top_logprobs` of chat completions and responses, `logprobs` of completions. */
export const topLogprobs = z.number().int().min(0).max(MOST_TOP_LOGPROBS);

/** Fields with `null` allowed where OpenAI's clients send it for "not set". */
export const samplingFields = {
  // OpenAI's range: narrower than the engine's.
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.number().int().min(-1).nullish(),
  min_p: within(SAMPLING_RANGES.minP).nullish(),
  // Not int(): clients send any 64-bit seed, and JSON makes the nearest number of it.
  seed: z.number().refine(Number.isInteger, 'give an integer').nullish(),
  presence_penalty: within(SAMPLING_RANGES.presencePenalty).nullish(),
  frequency_penalty: within(SAMPLING_RANGES.frequencyPenalty).nullish(),
  repetition_penalty: within(SAMPLING_RANGES.repetitionPenalty).nullish(),
  logit_bias: mapOf(tokenIdKey, within(SAMPLING_RANGES.logitBias), MOST_BIASES).nullish(),
  stop: z.union([z.string().min(1), upTo(MOST_STOP_STRINGS, z.string().min(1))]).nullish(),
  stop_token_ids: upTo(64, z.number().int().min(0)).nullish(),
  ignore_eos: z.boolean().nullish(),
  // vLLM's.
  allowed_token_ids: someOf(z.number().int().min(0)).nullish(),
  bad_words: upTo(MOST_BAD_WORDS, z.string().regex(/\S/, 'give a word')).nullish(),
  include_stop_str_in_output: z.boolean().nullish(),
};

/** Choices of one request, at most. */
export const MAX_CHOICES = 16;

/** `n` of chat completions and completions. */
export const choiceCount = z.number().int().min(1).max(MAX_CHOICES);

const samplingSchema = z.object(samplingFields);
type SamplingFields = z.output<typeof samplingSchema>;

/** OpenAI allows any integer as a seed; the engine's are 0 to 2^53 - 1. Each choice has its own. */
function engineSeed(seed: number, choice: number): number {
  return ((Math.abs(seed) % Number.MAX_SAFE_INTEGER) + choice) % Number.MAX_SAFE_INTEGER;
}

/**
 * The engine's options for a request's fields. A `top_p` of 0 means the likeliest token alone, a `top_k` of -1 no limit.
 *
 * @param choice The choice's number where `n` is above 1; each has a seed of its own.
 */
export function toSamplingOptions(fields: SamplingFields, choice = 0): SamplingOptions {
  const greedy = fields.top_p === 0;
  return {
    temperature: greedy ? 0 : (fields.temperature ?? DEFAULT_TEMPERATURE),
    ...(fields.top_p != null && !greedy ? { topP: fields.top_p } : {}),
    ...(fields.top_k != null && fields.top_k > 0 ? { topK: fields.top_k } : {}),
    ...(fields.min_p != null ? { minP: fields.min_p } : {}),
    ...(fields.seed != null ? { seed: engineSeed(fields.seed, choice) } : {}),
    ...(fields.presence_penalty != null ? { presencePenalty: fields.presence_penalty } : {}),
    ...(fields.frequency_penalty != null ? { frequencyPenalty: fields.frequency_penalty } : {}),
    ...(fields.repetition_penalty != null ? { repetitionPenalty: fields.repetition_penalty } : {}),
    ...(fields.logit_bias != null ? { logitBias: fields.logit_bias } : {}),
  };
}

/** The engine's options for when the answer ends and which tokens it may have. */
export function toTokenOptions(
  fields: SamplingFields,
): Pick<GenerateRequest, 'stop' | 'stopTokenIds' | 'ignoreEndTokens' | 'includeStop' | 'allowedTokenIds' | 'badWords'> {
  return {
    ...(fields.stop != null && fields.stop.length > 0 ? { stop: fields.stop } : {}),
    ...(fields.stop_token_ids != null ? { stopTokenIds: fields.stop_token_ids } : {}),
    ...(fields.ignore_eos != null ? { ignoreEndTokens: fields.ignore_eos } : {}),
    ...(fields.include_stop_str_in_output != null ? { includeStop: fields.include_stop_str_in_output } : {}),
    ...(fields.allowed_token_ids != null ? { allowedTokenIds: fields.allowed_token_ids } : {}),
    ...(fields.bad_words != null && fields.bad_words.length > 0 ? { badWords: fields.bad_words } : {}),
  };
}
