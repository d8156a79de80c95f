import { InvalidConfigError, UnsupportedArchitectureError } from '../errors.ts';
import { isJsonObject } from '../files/json-text.ts';
import { ConfigFields } from './config-fields.ts';

/** Layers each take a table entry: a config that claims more than any model has must not exhaust memory. */
const MAX_LAYERS = 4096;

/** A number that a tool wrote with fewer digits is the same number. */
const ATTENTION_FACTOR_TOLERANCE = 1e-5;

/** The configuration of a GPT-OSS model, read from either published layout. */
export interface GptOssConfig {
  readonly vocabularySize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly experts: number;
  readonly expertsPerToken: number;
  readonly attentionHeads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
  /** Positions that a sliding-window layer sees, the token itself included. */
  readonly slidingWindow: number;
  /** One entry a layer. */
  readonly layerTypes: readonly ('sliding' | 'full')[];
  /** The clamp of the SwiGLU's gate and up halves. */
  readonly swigluLimit: number;
  readonly rmsNormEpsilon: number;
  readonly rope: {
    readonly theta: number;
    readonly yarn: {
      readonly factor: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      readonly originalContextLength: number;
      readonly truncate: boolean;
    } | null;
  };
  /** The longest sequence, in tokens. */
  readonly contextLength: number;
  readonly tieWordEmbeddings: boolean;
  /** How the expert weights are stored: as MXFP4, or as floats (bf16, or f16 or f32 where the file has them so). */
  readonly expertFormat: 'mxfp4' | 'bf16';
}

/** The two published layouts of GPT-OSS: the Hugging Face one and the `original/` folder of openai/gpt-oss. */
export type GptOssLayout = 'huggingface' | 'original';

/** What config.json says, and which layout it belongs to. */
export interface ParsedGptOssConfig {
  readonly layout: GptOssLayout;
  readonly config: GptOssConfig;
  /** eos_token_id: none in the `original/` layout, one or several in the other. */
  readonly eosTokenIds: readonly number[];
}

/**
 * Reads the JSON of a config.json in either layout.
 *
 * The dimensions must be there, but for head_dim (64) and max_position_embeddings (131072); what else is absent gets the
 * default of transformers (Hugging Face layout) or of openai/gpt-oss (`original/` layout).
 *
 * @param json the parsed file.
 * @param path names the file in errors.
 * @throws UnsupportedArchitectureError, InvalidConfigError
 */
export function parseGptOssConfig(json: unknown, path: string): ParsedGptOssConfig {
  if (!isJsonObject(json)) throw new InvalidConfigError(path, 'document', json, 'an object');
  const fields = new ConfigFields(json, path);
  const layout = detectLayout(fields, path);
  const config = layout === 'huggingface' ? parseHuggingFace(fields) : parseOriginal(fields);
  checkRelations(config, fields, layout);
  return { layout, config, eosTokenIds: fields.tokenIds('eos_token_id', config.vocabularySize) };
}

function detectLayout(fields: ConfigFields, path: string): GptOssLayout {
  const modelType = fields.raw('model_type');
  const architectures = fields.raw('architectures');
  if (modelType === undefined && architectures === undefined) {
    if (fields.has('num_experts') && fields.has('experts_per_token')) return 'original';
    throw new UnsupportedArchitectureError(path, 'neither model_type nor architectures');
  }
  if (modelType !== undefined && modelType !== 'gpt_oss') {
    throw new UnsupportedArchitectureError(path, `model_type ${JSON.stringify(modelType)}`);
  }
  // A configuration that was saved without its model names none.
  const named = Array.isArray(architectures) && architectures.length === 0 ? undefined : architectures;
  if (named !== undefined && !(Array.isArray(named) && named.includes('GptOssForCausalLM'))) {
    throw new UnsupportedArchitectureError(path, `architectures ${JSON.stringify(architectures)}`);
  }
  return 'huggingface';
}

function parseHuggingFace(fields: ConfigFields): GptOssConfig {
  // transformers has two names for SiLU.
  fields.require('hidden_act', 'silu', 'swish');
  fields.require('attention_bias', true);
  const layers = fields.size('num_hidden_layers', undefined, 1, MAX_LAYERS);
  const contextLength = fields.size('max_position_embeddings', 131072);
  const layerTypes = parseLayerTypes(fields, layers);
  return {
    vocabularySize: fields.size('vocab_size'),
    hiddenSize: fields.size('hidden_size'),
    intermediateSize: fields.size('intermediate_size'),
    layers,
    experts: fields.size('num_local_experts'),
    expertsPerToken: fields.size(fields.has('num_experts_per_tok') ? 'num_experts_per_tok' : 'experts_per_token'),
    attentionHeads: fields.size('num_attention_heads'),
    keyValueHeads: fields.size('num_key_value_heads'),
    headDim: fields.size('head_dim', 64),
    // Where no layer slides there is no window to tell.
    slidingWindow: layerTypes.includes('sliding') ? fields.size('sliding_window') : contextLength,
    layerTypes,
    swigluLimit: fields.positive('swiglu_limit', 7),
    rmsNormEpsilon: fields.positive('rms_norm_eps', 1e-5),
    rope: parseHuggingFaceRope(fields, contextLength),
    contextLength,
    tieWordEmbeddings: fields.boolean('tie_word_embeddings', false),
    expertFormat: parseQuantization(fields),
  };
}

function parseLayerTypes(fields: ConfigFields, layers: number): readonly ('sliding' | 'full')[] {
  const value = fields.raw('layer_types');
  if (value === undefined) return alternatingLayerTypes(layers);
  if (!Array.isArray(value) || value.length !== layers) {
    return fields.fail('layer_types', `a list of ${layers} entries, one a layer`);
  }
  return value.map((type: unknown) => {
    if (type === 'sliding_attention') return 'sliding';
    if (type === 'full_attention') return 'full';
    return fields.fail('layer_types', 'only "sliding_attention" and "full_attention"');
  });
}

/** Every other layer slides, beginning with the first. */
function alternatingLayerTypes(layers: number): readonly ('sliding' | 'full')[] {
  return Array.from({ length: layers }, (_, layer) => (layer % 2 === 0 ? 'sliding' : 'full'));
}

function parseHuggingFaceRope(fields: ConfigFields, contextLength: number): GptOssConfig['rope'] {
  // transformers 5 writes `rope_parameters`, with rope_theta among them, where version 4 wrote `rope_scaling`.
  const scaling = fields.object('rope_parameters') ?? fields.object('rope_scaling');
  const theta = scaling?.has('rope_theta') ? scaling.positive('rope_theta') : fields.positive('rope_theta', 150_000);
  for (const object of [fields, scaling]) object?.require('partial_rotary_factor', 1);
  if (scaling === null || !isStretched(scaling)) return { theta, yarn: null };
  const factor = scaling.positive('factor');
  checkAttentionFactor(scaling, factor);
  return {
    theta,
    yarn: {
      factor,
      betaFast: scaling.positive('beta_fast', 32),
      betaSlow: scaling.positive('beta_slow', 1),
      originalContextLength: scaling.size('original_max_position_embeddings', contextLength),
      truncate: scaling.boolean('truncate', true),
    },
  };
}

/** Whether positions are stretched, by YaRN. Other kinds are refused, unless they stretch by 1. */
function isStretched(scaling: ConfigFields): boolean {
  const typeField = scaling.has('rope_type') ? 'rope_type' : 'type';
  const type = scaling.raw(typeField);
  if (type === 'yarn') return true;
  if (type === 'default' || (type === undefined && !scaling.has('factor'))) return false;
  if ((type === 'linear' || type === 'dynamic') && scaling.raw('factor') === 1) return false;
  return scaling.fail(typeField, '"yarn" or "default"');
}

/**
 * YaRN scales queries and keys by 0.1 ln(factor) + 1. Files may write that number out, or the two it is a quotient of in
 * other models; another number would be another model.
 *
 * @see _compute_yarn_parameters of https://github.com/huggingface/transformers/blob/main/src/transformers/modeling_rope_utils.py
 */
function checkAttentionFactor(scaling: ConfigFields, factor: number): void {
  const scale = (mscale: number): number => (factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1);
  const mscale = scaling.notNegative('mscale', 0);
  const allDimensions = scaling.notNegative('mscale_all_dim', 0);
  // One without the other counts as neither.
  const quotient = mscale > 0 && allDimensions > 0 ? scale(mscale) / scale(allDimensions) : scale(1);
  const isWritten = scaling.has('attention_factor');
  const found = isWritten ? scaling.positive('attention_factor') : quotient;
  if (Math.abs(found - scale(1)) <= ATTENTION_FACTOR_TOLERANCE) return;
  scaling.fail(isWritten ? 'attention_factor' : 'mscale', `a factor of ${scale(1)}, as YaRN has it for this stretch`);
}

/** What the file says of the experts. What the tensors say goes before it: see `storedExpertFormat`. */
function parseQuantization(fields: ConfigFields): GptOssConfig['expertFormat'] {
  const quantization = fields.object('quantization_config');
  if (quantization === null) return 'bf16';
  if (quantization.raw('quant_method') === 'mxfp4') return 'mxfp4';
  return quantization.fail('quant_method', '"mxfp4", or no quantization_config for experts that are not quantised');
}

/**
 * Reads the fields of original/config.json. What it leaves unsaid is fixed in openai/gpt-oss: epsilon 1e-5, every
 * other layer sliding, YaRN without truncation. How the experts are stored shows in the tensors alone.
 */
function parseOriginal(fields: ConfigFields): GptOssConfig {
  const layers = fields.size('num_hidden_layers', undefined, 1, MAX_LAYERS);
  const initialContext = fields.size('initial_context_length', 4096);
  const factor = fields.positive('rope_scaling_factor', 1);
  const contextLength = Math.floor(initialContext * factor);
  if (contextLength < 1 || contextLength > 2 ** 31 - 1) {
    fields.fail('rope_scaling_factor', 'a factor with which initial_context_length stays between 1 and 2^31 - 1');
  }
  return {
    vocabularySize: fields.size('vocab_size'),
    hiddenSize: fields.size('hidden_size'),
    intermediateSize: fields.size('intermediate_size'),
    layers,
    experts: fields.size('num_experts'),
    expertsPerToken: fields.size('experts_per_token'),
    attentionHeads: fields.size('num_attention_heads'),
    keyValueHeads: fields.size('num_key_value_heads'),
    headDim: fields.size('head_dim'),
    slidingWindow: fields.size('sliding_window'),
    layerTypes: alternatingLayerTypes(layers),
    swigluLimit: fields.positive('swiglu_limit', 7),
    rmsNormEpsilon: 1e-5,
    rope: {
      theta: fields.positive('rope_theta'),
      yarn:
        factor > 1
          ? {
              factor,
              betaFast: fields.positive('rope_ntk_beta', 32),
              betaSlow: fields.positive('rope_ntk_alpha', 1),
              originalContextLength: initialContext,
              truncate: false,
            }
          : null,
    },
    contextLength,
    tieWordEmbeddings: false,
    expertFormat: 'mxfp4',
  };
}

function checkRelations(config: GptOssConfig, fields: ConfigFields, layout: GptOssLayout): void {
  const { experts, expertsPerToken, attentionHeads, keyValueHeads, headDim } = config;
  if (expertsPerToken > experts) {
    const field =
      layout === 'huggingface' && fields.has('num_experts_per_tok') ? 'num_experts_per_tok' : 'experts_per_token';
    fields.fail(field, `at most the number of experts, ${experts}`);
  }
  if (attentionHeads % keyValueHeads !== 0) {
    fields.fail('num_key_value_heads', `a divisor of num_attention_heads, ${attentionHeads}`);
  }
  if (headDim % 2 !== 0) fields.fail('head_dim', 'an even number, as the rotary embedding needs');
  const { yarn } = config.rope;
  if (yarn !== null && yarn.betaFast <= yarn.betaSlow) {
    if (layout === 'original') fields.fail('rope_ntk_beta', `more than rope_ntk_alpha, ${yarn.betaSlow}`);
    (fields.object('rope_parameters') ?? fields.object('rope_scaling') ?? fields).fail(
      'beta_fast',
      `more than beta_slow, ${yarn.betaSlow}`,
    );
  }
}
