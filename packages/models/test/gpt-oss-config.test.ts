import assert from 'node:assert/strict';
import { InvalidConfigError, UnsupportedArchitectureError } from '../src/errors.ts';
import { parseGptOssConfig } from '../src/gpt-oss/config.ts';
import { syntheticConfig } from './fixtures/synthetic-checkpoint.ts';

const huggingFace = (changes: Record<string, unknown> = {}): Record<string, unknown> => ({
  ...syntheticConfig({ layout: 'huggingface', expertFormat: 'mxfp4' }),
  ...changes,
});
const original = (changes: Record<string, unknown> = {}): Record<string, unknown> => ({
  ...syntheticConfig({ layout: 'original', expertFormat: 'mxfp4' }),
  ...changes,
});

/** With YaRN by 2. */
const yarn = (changes: Record<string, unknown>): Record<string, unknown> =>
  huggingFace({ rope_scaling: { rope_type: 'yarn', factor: 2, ...changes } });

/** original/config.json of openai/gpt-oss-20b. */
const PUBLISHED_ORIGINAL = {
  num_hidden_layers: 24,
  num_experts: 32,
  experts_per_token: 4,
  vocab_size: 201088,
  hidden_size: 2880,
  intermediate_size: 2880,
  swiglu_limit: 7.0,
  head_dim: 64,
  num_attention_heads: 64,
  num_key_value_heads: 8,
  sliding_window: 128,
  initial_context_length: 4096,
  rope_theta: 150000,
  rope_scaling_factor: 32.0,
  rope_ntk_alpha: 1,
  rope_ntk_beta: 32,
};

describe('GPT-OSS configuration', () => {
  it('reads the same model out of both layouts', () => {
    const one = parseGptOssConfig(huggingFace(), 'config.json');
    const other = parseGptOssConfig(original(), 'config.json');
    assert.equal(one.layout, 'huggingface');
    assert.equal(other.layout, 'original');
    assert.deepEqual(one.config, other.config);
  });

  it('reads the published original/config.json', () => {
    const { config } = parseGptOssConfig(PUBLISHED_ORIGINAL, 'config.json');
    assert.equal(config.contextLength, 131072);
    assert.equal(config.layerTypes.length, 24);
    assert.deepEqual(config.layerTypes.slice(0, 3), ['sliding', 'full', 'sliding']);
    assert.deepEqual(config.rope, {
      theta: 150000,
      yarn: { factor: 32, betaFast: 32, betaSlow: 1, originalContextLength: 4096, truncate: false },
    });
  });

  it('reads the rope_parameters of newer files', () => {
    const { rope_theta: theta, rope_scaling: scaling, ...rest } = huggingFace();
    assert.ok(typeof scaling === 'object' && scaling !== null);
    const newer = { ...rest, rope_parameters: { ...scaling, rope_theta: theta } };
    assert.deepEqual(parseGptOssConfig(newer, 'x').config, parseGptOssConfig(huggingFace(), 'x').config);
  });

  it('takes no YaRN where there is no scaling', () => {
    assert.equal(parseGptOssConfig(huggingFace({ rope_scaling: null }), 'x').config.rope.yarn, null);
    assert.equal(
      parseGptOssConfig(huggingFace({ rope_scaling: { rope_type: 'default' } }), 'x').config.rope.yarn,
      null,
    );
    assert.equal(parseGptOssConfig(original({ rope_scaling_factor: 1 }), 'x').config.rope.yarn, null);
  });

  /** Fields that tools write at values with which they change nothing. */
  const neutral: readonly [string, Record<string, unknown>, Record<string, unknown>][] = [
    ['another name of SiLU', huggingFace(), huggingFace({ hidden_act: 'swish' })],
    ['no architectures', huggingFace(), huggingFace({ architectures: [] })],
    ['null architectures', huggingFace(), huggingFace({ architectures: null })],
    ['a whole rotary embedding', huggingFace(), huggingFace({ partial_rotary_factor: 1 })],
    ['no scaling, by an empty object', huggingFace({ rope_scaling: null }), huggingFace({ rope_scaling: {} })],
    [
      'no scaling, by a factor of 1',
      huggingFace({ rope_scaling: null }),
      huggingFace({ rope_scaling: { type: 'linear', factor: 1 } }),
    ],
    [
      'no scaling, by a dynamic factor of 1',
      huggingFace({ rope_scaling: null }),
      huggingFace({ rope_scaling: { rope_type: 'dynamic', factor: 1 } }),
    ],
    ["YaRN's own attention factor", yarn({}), yarn({ attention_factor: 0.1 * Math.log(2) + 1 })],
    ['the same in fewer digits', yarn({}), yarn({ attention_factor: 1.069315 })],
    ['no attention factor', yarn({}), yarn({ attention_factor: null })],
    ['mscale alone', yarn({}), yarn({ mscale: 1 })],
    ['mscale beside none', yarn({}), yarn({ mscale: 0.7, mscale_all_dim: 0 })],
    ['mscale_all_dim alone', yarn({}), yarn({ mscale_all_dim: 1 })],
    [
      'an attention factor that goes before mscale',
      yarn({}),
      yarn({ attention_factor: 1.0693147, mscale: 1, mscale_all_dim: 2 }),
    ],
    [
      'no window where no layer slides',
      huggingFace({ layer_types: ['full_attention', 'full_attention'], sliding_window: 0 }),
      huggingFace({ layer_types: ['full_attention', 'full_attention'], sliding_window: null }),
    ],
    ['an end token that is none', huggingFace(), huggingFace({ eos_token_id: [-1, 272, 1e9] })],
    [
      'what training is for',
      huggingFace(),
      huggingFace({ attention_dropout: 0.1, router_aux_loss_coef: 0.9, torch_dtype: 'float32' }),
    ],
  ];
  for (const [what, plain, written] of neutral) {
    it(`reads the same with ${what}`, () => {
      const { config, eosTokenIds } = parseGptOssConfig(written, 'x');
      assert.deepEqual({ config, eosTokenIds }, { config: parseGptOssConfig(plain, 'x').config, eosTokenIds: [] });
    });
  }

  it('takes bf16 experts where nothing is quantised', () => {
    const config = huggingFace({ quantization_config: null });
    assert.equal(parseGptOssConfig(config, 'x').config.expertFormat, 'bf16');
  });

  it('names the architecture that it refuses', () => {
    const foreign: readonly [Record<string, unknown>, RegExp][] = [
      [huggingFace({ model_type: 'llama' }), /model_type "llama"/],
      [huggingFace({ architectures: ['MixtralForCausalLM'] }), /MixtralForCausalLM/],
      [huggingFace({ model_type: 'gpt_oss', architectures: 'GptOssForCausalLM' }), /GptOssForCausalLM/],
      [{}, /neither model_type nor architectures/],
    ];
    for (const [config, message] of foreign) {
      assert.throws(
        () => parseGptOssConfig(config, 'config.json'),
        (error: unknown) => error instanceof UnsupportedArchitectureError && message.test(error.message),
      );
    }
  });

  const sizes = ['vocab_size', 'hidden_size', 'intermediate_size', 'num_hidden_layers', 'num_attention_heads'];
  for (const [layout, make] of [
    ['huggingface', huggingFace],
    ['original', original],
  ] as const) {
    for (const field of [...sizes, 'num_key_value_heads', 'sliding_window', 'head_dim']) {
      it(`refuses an invalid ${field} (${layout})`, () => {
        for (const value of [0, -1, 1.5, '64', true, [], {}, 2 ** 31, Number.NaN, Infinity]) {
          assertInvalid(make({ [field]: value }), field);
        }
      });
    }
  }

  const invalid: readonly [Record<string, unknown>, string][] = [
    [huggingFace({ vocab_size: undefined }), 'vocab_size'],
    [huggingFace({ num_hidden_layers: 1e9 }), 'num_hidden_layers'],
    [huggingFace({ num_local_experts: 0 }), 'num_local_experts'],
    [huggingFace({ num_experts_per_tok: 5 }), 'num_experts_per_tok'],
    [original({ experts_per_token: 5 }), 'experts_per_token'],
    [huggingFace({ num_key_value_heads: 3 }), 'num_key_value_heads'],
    [huggingFace({ head_dim: 15 }), 'head_dim'],
    [huggingFace({ hidden_act: 'gelu' }), 'hidden_act'],
    [huggingFace({ attention_bias: false }), 'attention_bias'],
    [huggingFace({ layer_types: ['sliding_attention'] }), 'layer_types'],
    [huggingFace({ layer_types: ['sliding_attention', 'chunked_attention'] }), 'layer_types'],
    [huggingFace({ layer_types: 'full_attention' }), 'layer_types'],
    [huggingFace({ swiglu_limit: 0 }), 'swiglu_limit'],
    [huggingFace({ rms_norm_eps: -1e-5 }), 'rms_norm_eps'],
    [huggingFace({ rope_theta: 0 }), 'rope_theta'],
    [huggingFace({ tie_word_embeddings: 'no' }), 'tie_word_embeddings'],
    [huggingFace({ rope_scaling: 'yarn' }), 'rope_scaling'],
    [huggingFace({ rope_scaling: { rope_type: 'llama3' } }), 'rope_scaling.rope_type'],
    [huggingFace({ rope_scaling: { rope_type: 'yarn' } }), 'rope_scaling.factor'],
    [yarn({ mscale: 1, mscale_all_dim: 2 }), 'rope_scaling.mscale'],
    [yarn({ mscale: 'x' }), 'rope_scaling.mscale'],
    [yarn({ attention_factor: 1 }), 'rope_scaling.attention_factor'],
    [yarn({ attention_factor: 0 }), 'rope_scaling.attention_factor'],
    [yarn({ partial_rotary_factor: 0.5 }), 'rope_scaling.partial_rotary_factor'],
    [huggingFace({ partial_rotary_factor: 0.5 }), 'partial_rotary_factor'],
    [huggingFace({ rope_scaling: { factor: 2 } }), 'rope_scaling.type'],
    [huggingFace({ rope_scaling: { rope_type: 'linear', factor: 2 } }), 'rope_scaling.rope_type'],
    [huggingFace({ sliding_window: null }), 'sliding_window'],
    [huggingFace({ rope_scaling: { rope_type: 'yarn', factor: 2, beta_fast: 1 } }), 'rope_scaling.beta_fast'],
    [huggingFace({ quantization_config: { quant_method: 'gptq' } }), 'quantization_config.quant_method'],
    [original({ rope_scaling_factor: 1e12 }), 'rope_scaling_factor'],
    [original({ rope_ntk_alpha: 64 }), 'rope_ntk_beta'],
  ];
  for (const [config, field] of invalid) {
    it(`refuses ${field}: ${JSON.stringify(pick(config, field))}`, () => assertInvalid(config, field));
  }

  it('refuses a document that is no object', () => {
    for (const json of [null, [], 'x', 3]) assertInvalid(json, 'document');
  });
});

function pick(config: Record<string, unknown>, field: string): unknown {
  return config[field.split('.')[0] ?? field] ?? null;
}

function assertInvalid(config: unknown, field: string): void {
  assert.throws(
    () => parseGptOssConfig(config, 'folder/config.json'),
    (error: unknown) => {
      assert.ok(error instanceof InvalidConfigError, String(error));
      assert.equal(error.field, field);
      assert.match(error.message, /^folder\/config\.json has an invalid/);
      assert.ok(error.expected.length > 0);
      return true;
    },
  );
}
