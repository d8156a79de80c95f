/**
 * Which tensor lies in which file of a published GPT-OSS checkpoint, and in which order. The Hugging Face files were
 * converted from the `original/` ones; what is said here about order and shard sizes was found by reproducing the
 * published indexes and the sizes of the published files to the byte.
 */

import { InvalidConfigError } from '../errors.ts';
import { type GptOssConfig, type GptOssLayout, parseGptOssConfig } from '../gpt-oss/config.ts';
import { gptOssTensorTable, type TensorSpecification } from '../gpt-oss/tensors.ts';
import { DTYPE_BITS } from '../tensors/tensor.ts';
import { tensorByteLength } from '../tensors/tensor-bytes.ts';
import {
  publishedConfigText,
  publishedGenerationConfigText,
  type PublishedModel,
  publishedSizes,
  publishedSpecialTokensMapText,
  publishedTokenizerConfigText,
} from './published-models.ts';

/** Which checkpoint to plan or to write. */
export interface PublishedCheckpoint {
  readonly model: PublishedModel;
  /** Default 'huggingface'. */
  readonly layout?: GptOssLayout;
  /** 1 to 4096. Default the published number: 24 or 36. */
  readonly layers?: number;
}

/** A tensor as it will lie in a file. */
export interface PlannedTensor extends TensorSpecification {
  readonly byteLength: number;
  /**
   * The tensor of the `original/` layout that it is, or is a part of, and where it begins there, in bytes: query, key
   * and value are parts of one tensor.
   */
  readonly source: { readonly name: string; readonly begin: number };
}

/** A safetensors file. */
export interface PlannedFile {
  readonly name: string;
  /** In the order of their bytes. */
  readonly tensors: readonly PlannedTensor[];
}

/** A checkpoint before any byte of it is written. */
export interface CheckpointPlan {
  readonly config: GptOssConfig;
  /** The folder of weights and config.json within the checkpoint's: '' or 'original'. */
  readonly weightsFolder: '' | 'original';
  /** The safetensors files, in the weights' folder. */
  readonly files: readonly PlannedFile[];
  /** The other files but for tokenizer.json: paths within the checkpoint's folder, with '/', and their text. */
  readonly texts: ReadonlyMap<string, string>;
  /** Bytes of all tensors. */
  readonly tensorBytes: number;
}

/** No shard of the published Hugging Face checkpoints is larger, and the next tensor would have made it so. */
const HUGGING_FACE_SHARD_BYTES = 4_800_000_000;

/** As for HUGGING_FACE_SHARD_BYTES, in `original/`. */
const ORIGINAL_SHARD_BYTES = 10_600_000_000;

/**
 * The order in which the seven shards of gpt-oss-120b's `original/` were converted, which shows in the Hugging Face
 * shards: a folder's listing, not sorted.
 */
const CONVERSION_ORDER_120B: readonly number[] = [3, 2, 5, 1, 0, 6, 4];

/**
 * Plans a checkpoint. With the published number of layers, files and tensors are those of the published checkpoint, byte
 * for byte but for the weights; with another number they are what the same rules make of it.
 *
 * @throws InvalidConfigError for a number of layers that is none.
 */
export function planPublishedCheckpoint({
  model,
  layout = 'huggingface',
  layers = publishedSizes[model].layers,
}: PublishedCheckpoint): CheckpointPlan {
  if (!Number.isInteger(layers) || layers < 1) {
    throw new InvalidConfigError(model, 'layers', layers, 'a whole number from 1 to 4096');
  }
  const configText = publishedConfigText(layout, { ...publishedSizes[model], layers });
  const { config } = parseGptOssConfig(JSON.parse(configText), model);
  const groups = splitIntoShards(originalTensors(config), model === 'gpt-oss-20b' ? Infinity : ORIGINAL_SHARD_BYTES);
  const tensorBytes = sumBytes(groups.flat());
  return layout === 'original'
    ? planOriginal(config, model, groups, configText, tensorBytes)
    : planHuggingFace(config, conversionOrder(groups, model), configText, tensorBytes);
}

function planOriginal(
  config: GptOssConfig,
  model: PublishedModel,
  shards: readonly (readonly PlannedTensor[])[],
  configText: string,
  tensorBytes: number,
): CheckpointPlan {
  // The smaller model's weights are one file, without an index.
  const single = model === 'gpt-oss-20b';
  const names = shards.map((_, index) =>
    single ? 'model.safetensors' : `model--${fiveDigits(index + 1)}-of-${fiveDigits(shards.length)}.safetensors`,
  );
  const texts = new Map([
    ['original/config.json', configText],
    ['original/dtypes.json', pythonJson(originalDtypes(config))],
    ...besideWeights(),
  ]);
  if (!single) {
    const index = { metadata: { total_size: tensorBytes }, weight_map: weightMap(shards, names) };
    texts.set('original/model.safetensors.index.json', JSON.stringify(index, null, 2));
  }
  return { config, weightsFolder: 'original', files: planFiles(shards, names), texts, tensorBytes };
}

function planHuggingFace(
  config: GptOssConfig,
  original: readonly PlannedTensor[],
  configText: string,
  tensorBytes: number,
): CheckpointPlan {
  const tensors = original.flatMap((tensor) => convertTensor(tensor, config));
  const shards = splitIntoShards(tensors, HUGGING_FACE_SHARD_BYTES);
  // The published names count from 0 and give the last number for the count.
  const names = shards.map((_, index) => `model-${fiveDigits(index)}-of-${fiveDigits(shards.length - 1)}.safetensors`);
  const index = { metadata: { total_size: tensorBytes }, weight_map: weightMap(shards, names) };
  const texts = new Map([
    ['config.json', configText],
    ['model.safetensors.index.json', pythonJson(index)],
    ...besideWeights(),
  ]);
  return { config, weightsFolder: '', files: planFiles(shards, names), texts, tensorBytes };
}

function besideWeights(): [string, string][] {
  return [
    ['generation_config.json', publishedGenerationConfigText],
    ['special_tokens_map.json', publishedSpecialTokensMapText],
    ['tokenizer_config.json', publishedTokenizerConfigText()],
  ];
}

/** The tensors of `original/` in the order of their names. */
function originalTensors(config: GptOssConfig): PlannedTensor[] {
  const table = gptOssTensorTable({ ...config, expertFormat: 'mxfp4' }, 'original');
  return table
    .map((specification) => ({
      ...specification,
      byteLength: tensorByteLength(specification),
      source: { name: specification.name, begin: 0 },
    }))
    .sort((a, b) => compareText(a.name, b.name));
}

/** The order of the files' tensors in the conversion to the Hugging Face layout. */
function conversionOrder(groups: readonly (readonly PlannedTensor[])[], model: PublishedModel): PlannedTensor[] {
  const known = model === 'gpt-oss-120b' && groups.length === CONVERSION_ORDER_120B.length;
  return known ? CONVERSION_ORDER_120B.flatMap((index) => groups[index] ?? []) : groups.flat();
}

/** What each part of an `original/` layer is called in a Hugging Face one; query, key and value aside. */
const CONVERTED_NAMES: Readonly<Record<string, string>> = {
  'attn.norm.scale': 'input_layernorm.weight',
  'attn.out.bias': 'self_attn.o_proj.bias',
  'attn.out.weight': 'self_attn.o_proj.weight',
  'attn.sinks': 'self_attn.sinks',
  'mlp.gate.bias': 'mlp.router.bias',
  'mlp.gate.weight': 'mlp.router.weight',
  'mlp.mlp1_bias': 'mlp.experts.gate_up_proj_bias',
  'mlp.mlp1_weight.blocks': 'mlp.experts.gate_up_proj_blocks',
  'mlp.mlp1_weight.scales': 'mlp.experts.gate_up_proj_scales',
  'mlp.mlp2_bias': 'mlp.experts.down_proj_bias',
  'mlp.mlp2_weight.blocks': 'mlp.experts.down_proj_blocks',
  'mlp.mlp2_weight.scales': 'mlp.experts.down_proj_scales',
  'mlp.norm.scale': 'post_attention_layernorm.weight',
  'embedding.weight': 'model.embed_tokens.weight',
  'norm.scale': 'model.norm.weight',
  'unembedding.weight': 'lm_head.weight',
};

function convertTensor(tensor: PlannedTensor, config: GptOssConfig): PlannedTensor[] {
  const [, layer, part = tensor.name] = /^block\.(\d+)\.(.+)$/.exec(tensor.name) ?? [];
  const prefix = layer === undefined ? '' : `model.layers.${layer}.`;
  const fused = /^attn\.qkv\.(weight|bias)$/.exec(part);
  if (fused === null) return [{ ...tensor, name: prefix + (CONVERTED_NAMES[part] ?? part) }];
  const [rows = 1, ...columns] = tensor.shape;
  const rowBytes = tensor.byteLength / rows;
  const keyRows = config.keyValueHeads * config.headDim;
  const queryRows = config.attentionHeads * config.headDim;
  const takeRows = (letter: string, begin: number, count: number): PlannedTensor => ({
    name: `${prefix}self_attn.${letter}_proj.${fused[1]}`,
    dtype: tensor.dtype,
    shape: [count, ...columns],
    byteLength: count * rowBytes,
    source: { name: tensor.name, begin: begin * rowBytes },
  });
  return [takeRows('q', 0, queryRows), takeRows('k', queryRows, keyRows), takeRows('v', queryRows + keyRows, keyRows)];
}

/** Fills one shard after the other; a new one begins where a tensor would make the last one larger than `limit`. */
function splitIntoShards(tensors: readonly PlannedTensor[], limit: number): PlannedTensor[][] {
  const shards: PlannedTensor[][] = [];
  let bytes = 0;
  for (const tensor of tensors) {
    const last = shards.at(-1);
    if (last === undefined || bytes + tensor.byteLength > limit) {
      shards.push([tensor]);
      bytes = tensor.byteLength;
    } else {
      last.push(tensor);
      bytes += tensor.byteLength;
    }
  }
  return shards;
}

/** Within a file, safetensors puts the wider dtype first and then goes by name. */
function planFiles(shards: readonly (readonly PlannedTensor[])[], names: readonly string[]): PlannedFile[] {
  return shards.map((tensors, index) => ({
    name: names[index] ?? '',
    tensors: [...tensors].sort((a, b) => DTYPE_BITS[b.dtype] - DTYPE_BITS[a.dtype] || compareText(a.name, b.name)),
  }));
}

function weightMap(
  shards: readonly (readonly PlannedTensor[])[],
  names: readonly string[],
): Readonly<Record<string, string>> {
  return Object.fromEntries(shards.flatMap((tensors, index) => tensors.map(({ name }) => [name, names[index] ?? ''])));
}

/** original/dtypes.json: what the bytes of each tensor mean. */
function originalDtypes(config: GptOssConfig): Readonly<Record<string, string>> {
  const names = [
    'attn.norm.scale',
    'attn.qkv.weight',
    'attn.qkv.bias',
    'attn.sinks',
    'attn.out.weight',
    'attn.out.bias',
    'mlp.norm.scale',
    'mlp.gate.weight',
    'mlp.gate.bias',
    'mlp.mlp1_weight.blocks',
    'mlp.mlp1_weight.scales',
    'mlp.mlp1_bias',
    'mlp.mlp2_weight.blocks',
    'mlp.mlp2_weight.scales',
    'mlp.mlp2_bias',
  ];
  const all = [
    'embedding.weight',
    ...Array.from({ length: config.layers }, (_, layer) => names.map((name) => `block.${layer}.${name}`)).flat(),
    'norm.scale',
    'unembedding.weight',
  ];
  const dtype = (name: string): string =>
    name.endsWith('.blocks') ? 'FP4' : name.endsWith('.scales') ? 'UE8' : 'BF16';
  return Object.fromEntries(all.map((name) => [name, dtype(name)]));
}

/** JSON on one line with the spaces that Python's json.dumps puts in. No text in it may hold `":` or `,"`. */
function pythonJson(value: unknown): string {
  return JSON.stringify(value).replaceAll('":', '": ').replaceAll(',"', ', "');
}

function sumBytes(tensors: readonly PlannedTensor[]): number {
  return tensors.reduce((sum, tensor) => sum + tensor.byteLength, 0);
}

function fiveDigits(value: number): string {
  return String(value).padStart(5, '0');
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
