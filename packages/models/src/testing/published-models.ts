/**
 * What openai/gpt-oss-20b and openai/gpt-oss-120b have beside their weights: the text of each small file, byte for byte
 * as it lies on Hugging Face (revisions 6cee5e81 and b5c939de).
 */

import { type GptOssConfig, type GptOssLayout, parseGptOssConfig } from '../gpt-oss/config.ts';

/** The two sizes that GPT-OSS was published in. */
export type PublishedModel = 'gpt-oss-20b' | 'gpt-oss-120b';

/** In what the two published sizes differ; all else is the same. */
export interface PublishedSize {
  readonly layers: number;
  readonly experts: number;
}

export const publishedSizes: Readonly<Record<PublishedModel, PublishedSize>> = {
  'gpt-oss-20b': { layers: 24, experts: 32 },
  'gpt-oss-120b': { layers: 36, experts: 128 },
};

/** Harmony's special tokens by id; the ids between them are reserved. */
const NAMED_SPECIAL_TOKENS: ReadonlyMap<number, string> = new Map([
  [199_998, '<|startoftext|>'],
  [199_999, '<|endoftext|>'],
  [200_002, '<|return|>'],
  [200_003, '<|constrain|>'],
  [200_005, '<|channel|>'],
  [200_006, '<|start|>'],
  [200_007, '<|end|>'],
  [200_008, '<|message|>'],
  [200_012, '<|call|>'],
  [200_018, '<|endofprompt|>'],
]);
const FIRST_SPECIAL_ID = 199_998;
const LAST_SPECIAL_ID = 200_018;

/** Every special token of the published tokenizer with its id, in the order of the ids: 199998 to 200018. */
export const publishedSpecialTokens: readonly (readonly [id: number, text: string])[] = Array.from(
  { length: LAST_SPECIAL_ID - FIRST_SPECIAL_ID + 1 },
  (_, index) => {
    const id = FIRST_SPECIAL_ID + index;
    return [id, NAMED_SPECIAL_TOKENS.get(id) ?? `<|reserved_${id}|>`];
  },
);

/** The configuration of a published model. */
export function publishedConfig(model: PublishedModel): GptOssConfig {
  const text = publishedConfigText('huggingface', publishedSizes[model]);
  return parseGptOssConfig(JSON.parse(text), `${model}/config.json`).config;
}

/** The text of config.json. Where `size` is not a published one, the rest stays as published. */
export function publishedConfigText(layout: GptOssLayout, size: PublishedSize): string {
  return layout === 'original' ? originalConfigText(size) : huggingFaceConfigText(size);
}

function originalConfigText({ layers, experts }: PublishedSize): string {
  return (
    `{"num_hidden_layers": ${layers}, "num_experts": ${experts}, "experts_per_token": 4, "vocab_size": 201088, ` +
    '"hidden_size": 2880, "intermediate_size": 2880, "swiglu_limit": 7.0, "head_dim": 64, "num_attention_heads": 64, ' +
    '"num_key_value_heads": 8, "sliding_window": 128, "initial_context_length": 4096, "rope_theta": 150000, ' +
    '"rope_scaling_factor": 32.0, "rope_ntk_alpha": 1, "rope_ntk_beta": 32}'
  );
}

function huggingFaceConfigText({ layers, experts }: PublishedSize): string {
  const layerTypes = Array.from({ length: layers }, (_, layer) =>
    layer % 2 === 0 ? '    "sliding_attention"' : '    "full_attention"',
  );
  return `{
  "architectures": [
    "GptOssForCausalLM"
  ],
  "attention_bias": true,
  "attention_dropout": 0.0,
  "eos_token_id": 200002,
  "experts_per_token": 4,
  "head_dim": 64,
  "hidden_act": "silu",
  "hidden_size": 2880,
  "initial_context_length": 4096,
  "initializer_range": 0.02,
  "intermediate_size": 2880,
  "layer_types": [
${layerTypes.join(',\n')}
  ],
  "max_position_embeddings": 131072,
  "model_type": "gpt_oss",
  "num_attention_heads": 64,
  "num_experts_per_tok": 4,
  "num_hidden_layers": ${layers},
  "num_key_value_heads": 8,
  "num_local_experts": ${experts},
  "output_router_logits": false,
  "pad_token_id": 199999,
  "quantization_config": {
    "modules_to_not_convert": [
      "model.layers.*.self_attn",
      "model.layers.*.mlp.router",
      "model.embed_tokens",
      "lm_head"
    ],
    "quant_method": "mxfp4"
  },
  "rms_norm_eps": 1e-05,
  "rope_scaling": {
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "factor": 32.0,
    "original_max_position_embeddings": 4096,
    "rope_type": "yarn",
    "truncate": false
  },
  "rope_theta": 150000,
  "router_aux_loss_coef": 0.9,
  "sliding_window": 128,
  "swiglu_limit": 7.0,
  "tie_word_embeddings": false,
  "transformers_version": "4.55.0.dev0",
  "use_cache": true,
  "vocab_size": 201088
}
`;
}

export const publishedGenerationConfigText = `{
  "bos_token_id": 199998,
  "do_sample": true,
  "eos_token_id": [
    200002,
    199999,
    200012
  ],
  "pad_token_id": 199999,
  "transformers_version": "4.55.0.dev0"
}
`;

export const publishedSpecialTokensMapText = `{
  "bos_token": "<|startoftext|>",
  "eos_token": "<|return|>",
  "pad_token": "<|endoftext|>"
}
`;

/** The text of tokenizer_config.json. */
export function publishedTokenizerConfigText(): string {
  const flags = { lstrip: false, normalized: false, rstrip: false, single_word: false, special: true };
  const config = {
    added_tokens_decoder: Object.fromEntries(
      publishedSpecialTokens.map(([id, content]) => [id, { content, ...flags }] as const),
    ),
    bos_token: '<|startoftext|>',
    clean_up_tokenization_spaces: false,
    eos_token: '<|return|>',
    extra_special_tokens: {},
    model_input_names: ['input_ids', 'attention_mask'],
    model_max_length: null,
    pad_token: '<|endoftext|>',
    tokenizer_class: 'PreTrainedTokenizerFast',
  };
  // JavaScript would write the number of the published file, Python's int(1e30), as 1e+30.
  const text = JSON.stringify(config, null, 2).replace(
    '"model_max_length": null',
    '"model_max_length": 1000000000000000019884624838656',
  );
  return `${text}\n`;
}
