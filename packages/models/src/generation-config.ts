import { InvalidConfigError } from './errors.ts';
import { ConfigFields } from './gpt-oss/config-fields.ts';
import { isJsonObject } from './files/json-text.ts';

/** generation_config.json, as far as an engine uses it. */
export interface GenerationConfig {
  /** Tokens that end an answer. Of a snapshot: those of the file, harmony's and config.json's, each once. */
  readonly eosTokenIds: readonly number[];
  readonly padTokenId: number | null;
  readonly bosTokenId: number | null;
  /** Sampling defaults, null where the file says nothing. */
  readonly doSample: boolean | null;
  /** 0 (always the likeliest token) or more. */
  readonly temperature: number | null;
  /** Above 0, at most 1. */
  readonly topP: number | null;
  /** Whole, 1 or more; the file's 0 or -1 (no limit) is given as null. */
  readonly topK: number | null;
}

/**
 * Reads the JSON of a generation_config.json. Ids that are not below `vocabularySize` name no token.
 *
 * @param json the parsed file.
 * @param path names the file in errors.
 * @throws InvalidConfigError
 */
export function parseGenerationConfig(json: unknown, path: string, vocabularySize: number): GenerationConfig {
  if (!isJsonObject(json)) throw new InvalidConfigError(path, 'document', json, 'an object');
  const fields = new ConfigFields(json, path);
  const tokenId = (name: string): number | null => fields.tokenIds(name, vocabularySize)[0] ?? null;
  const topP = fields.has('top_p') ? fields.positive('top_p') : null;
  if (topP !== null && topP > 1) fields.fail('top_p', 'a number above 0 and at most 1');
  // -1 is vLLM's word for no limit, as 0 is transformers'.
  const topK = fields.has('top_k') ? fields.size('top_k', undefined, -1) : null;
  return {
    eosTokenIds: fields.tokenIds('eos_token_id', vocabularySize),
    padTokenId: tokenId('pad_token_id'),
    bosTokenId: tokenId('bos_token_id'),
    doSample: fields.has('do_sample') ? fields.boolean('do_sample', false) : null,
    temperature: fields.has('temperature') ? fields.notNegative('temperature') : null,
    topP,
    topK: topK === null || topK <= 0 ? null : topK,
  };
}

/** The generation configuration of a checkpoint that has no generation_config.json: harmony's stop tokens. */
export function defaultGenerationConfig(specialTokens: ReadonlyMap<string, number>): GenerationConfig {
  return {
    eosTokenIds: harmonyEndTokenIds(specialTokens),
    padTokenId: specialTokens.get('<|endoftext|>') ?? null,
    bosTokenId: specialTokens.get('<|startoftext|>') ?? null,
    doSample: null,
    temperature: null,
    topP: null,
    topK: null,
  };
}

/**
 * Adds the tokens that end an answer whatever generation_config.json says: harmony's `<|return|>` and `<|call|>`, as far
 * as the tokenizer has them, and the eos_token_id of config.json. Without them an answer would run on into turns that
 * nobody took.
 *
 * @param configEosTokenIds eos_token_id of config.json.
 */
export function withEndTokens(
  generation: GenerationConfig,
  specialTokens: ReadonlyMap<string, number>,
  configEosTokenIds: readonly number[],
): GenerationConfig {
  const ids = [...generation.eosTokenIds, ...harmonyEndTokenIds(specialTokens), ...configEosTokenIds];
  return { ...generation, eosTokenIds: [...new Set(ids)] };
}

function harmonyEndTokenIds(specialTokens: ReadonlyMap<string, number>): number[] {
  return ['<|return|>', '<|call|>'].map((text) => specialTokens.get(text)).filter((id) => id !== undefined);
}
