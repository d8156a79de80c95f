/**
 * Fields of other servers that would change the answer, and that this one does not have: refused by their name, not
 * ignored. Their usual defaults are let through.
 */

import { z } from 'zod';

const refused = (advice: string) => z.null(advice).optional();
const only = <Value extends string | number | boolean>(value: Value, advice: string) =>
  z.literal(value, advice).nullish();

const SCHEMA_ADVICE = 'not supported: send a JSON schema as response_format to /v1/chat/completions instead';
const BEAM_ADVICE = 'not supported: ask for n choices with logprobs and choose';
const TEMPLATE_ADVICE = 'not supported: prompts are rendered in harmony, send token ids to /v1/completions for others';

const SAMPLER_ADVICE = 'not supported: temperature, top_k, top_p and min_p choose among tokens here';

export const refusedFields = {
  // OpenAI's.
  modalities: z.tuple([z.literal('text')], 'not supported: answers are text').nullish(),
  // vLLM's.
  guided_json: refused(SCHEMA_ADVICE),
  guided_regex: refused(SCHEMA_ADVICE),
  guided_choice: refused(SCHEMA_ADVICE),
  guided_grammar: refused(SCHEMA_ADVICE),
  guided_whitespace_pattern: refused(SCHEMA_ADVICE),
  structured_outputs: refused(SCHEMA_ADVICE),
  min_tokens: only(0, 'not supported: ignore_eos goes on until max_tokens'),
  prompt_logprobs: refused('not supported: use /v1/score for the log-probabilities of a prompt'),
  prompt_embeds: refused('not supported: send the prompt as text or token ids'),
  use_beam_search: only(false, BEAM_ADVICE),
  best_of: only(1, BEAM_ADVICE),
  length_penalty: only(1, BEAM_ADVICE),
  early_stopping: only(false, BEAM_ADVICE),
  logits_processors: refused('not supported: logit_bias, allowed_token_ids and bad_words are'),
  truncate_prompt_tokens: refused('not supported: shorten the prompt yourself'),
  continue_final_message: only(false, TEMPLATE_ADVICE),
  add_generation_prompt: only(true, TEMPLATE_ADVICE),
  chat_template: refused(TEMPLATE_ADVICE),
  documents: refused('not supported: put them into a message'),
  skip_special_tokens: only(true, 'not supported: markers of the format are never text'),
  return_tokens_as_token_ids: only(false, 'not supported: /tokenize turns text into ids'),
  return_token_ids: only(false, 'not supported: /tokenize turns text into ids'),
  thinking_token_budget: refused('not supported: reasoning_effort says how long the model thinks'),
  vllm_xargs: refused('not supported: there are no such extensions here'),
  // SGLang's.
  regex: refused(SCHEMA_ADVICE),
  ebnf: refused(SCHEMA_ADVICE),
  structural_tag: refused('not supported: tools with strict arguments are'),
  stop_regex: refused('not supported: give the strings in stop'),
  no_stop_trim: only(false, 'not supported: send include_stop_str_in_output'),
  custom_logit_processor: refused('not supported: logit_bias, allowed_token_ids and bad_words are'),
  // llama.cpp's.
  grammar: refused(SCHEMA_ADVICE),
  json_schema: refused(SCHEMA_ADVICE),
  n_predict: only(-1, 'not supported: send max_tokens, or max_output_tokens in Responses'),
  samplers: refused(SAMPLER_ADVICE),
  typical_p: only(1, SAMPLER_ADVICE),
  mirostat: only(0, SAMPLER_ADVICE),
  dynatemp_range: only(0, SAMPLER_ADVICE),
  dry_multiplier: only(0, SAMPLER_ADVICE),
  xtc_probability: only(0, SAMPLER_ADVICE),
};

/** Arguments of the chat template that are honoured; any other is refused by its name. */
export const chatTemplateArguments = z
  .object({
    reasoning_effort: z.enum(['low', 'medium', 'high']).nullish(),
    model_identity: z.string().nullish(),
  })
  .catchall(z.null('not supported: reasoning_effort and model_identity are').optional());
