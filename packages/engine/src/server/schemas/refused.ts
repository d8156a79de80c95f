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

/** vLLM's. */
export const refusedFields = {
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
};

/** Arguments of the chat template that are honoured; any other is refused by its name. */
export const chatTemplateArguments = z
  .object({
    reasoning_effort: z.enum(['low', 'medium', 'high']).nullish(),
    model_identity: z.string().nullish(),
  })
  .catchall(z.null('not supported: reasoning_effort and model_identity are').optional());
