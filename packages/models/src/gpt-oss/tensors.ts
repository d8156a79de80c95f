/**
 * The tensors of a GPT-OSS checkpoint in either layout: their names, shapes and dtypes, and from them the weights by
 * role.
 */

import { MissingTensorsError, TensorMismatchError, UnexpectedTensorsError } from '../errors.ts';
import { MXFP4_BLOCK } from '../tensors/mxfp4.ts';
import type { ExpertTensor, Tensor } from '../tensors/tensor.ts';
import { rowsOf } from '../tensors/tensor-rows.ts';
import type { GptOssConfig, GptOssLayout } from './config.ts';
import { hasForm, inForm, readableForms, type TensorForm, type TensorValues } from './tensor-forms.ts';
import type { GptOssLayerWeights, GptOssWeights } from './weights.ts';

/** What the configuration calls for under one name, in the form that the published checkpoints have. */
export interface TensorSpecification extends TensorForm {
  readonly name: string;
}

/** What the configuration calls for, in every form that is read. */
interface TableEntry {
  readonly name: string;
  readonly forms: readonly [published: TensorForm, ...others: TensorForm[]];
}

type Tensors = ReadonlyMap<string, Tensor>;
type ExpertShape = readonly [experts: number, rows: number, columns: number];

/** The names that one layout gives to the parts of a layer and of the whole model. */
interface LayoutNames {
  readonly embedding: string;
  readonly finalNorm: string;
  readonly lmHead: string;
  readonly layer: (index: number) => string;
  readonly inputNorm: string;
  readonly output: string;
  readonly sinks: string;
  readonly postAttentionNorm: string;
  readonly router: string;
  readonly gateUp: string;
  readonly gateUpBias: string;
  readonly down: string;
  readonly downBias: string;
  /** What follows an expert weight's name for the 4-bit codes and for their scales. */
  readonly blocks: string;
  readonly scales: string;
}

const layoutNames: Readonly<Record<GptOssLayout, LayoutNames>> = {
  huggingface: {
    embedding: 'model.embed_tokens.weight',
    finalNorm: 'model.norm.weight',
    lmHead: 'lm_head.weight',
    layer: (index) => `model.layers.${index}.`,
    inputNorm: 'input_layernorm.weight',
    output: 'self_attn.o_proj',
    sinks: 'self_attn.sinks',
    postAttentionNorm: 'post_attention_layernorm.weight',
    router: 'mlp.router',
    gateUp: 'mlp.experts.gate_up_proj',
    gateUpBias: 'mlp.experts.gate_up_proj_bias',
    down: 'mlp.experts.down_proj',
    downBias: 'mlp.experts.down_proj_bias',
    blocks: '_blocks',
    scales: '_scales',
  },
  original: {
    embedding: 'embedding.weight',
    finalNorm: 'norm.scale',
    lmHead: 'unembedding.weight',
    layer: (index) => `block.${index}.`,
    inputNorm: 'attn.norm.scale',
    output: 'attn.out',
    sinks: 'attn.sinks',
    postAttentionNorm: 'mlp.norm.scale',
    router: 'mlp.gate',
    gateUp: 'mlp.mlp1_weight',
    gateUpBias: 'mlp.mlp1_bias',
    down: 'mlp.mlp2_weight',
    downBias: 'mlp.mlp2_bias',
    blocks: '.blocks',
    scales: '.scales',
  },
};

/** What every loader computes from the configuration, and some tools save all the same. */
const COMPUTED = /(?:^|\.)rotary_emb\.(?:original_)?inv_freq$/;

/**
 * How the experts of a checkpoint are stored, which the names of its tensors tell. The config.json of the `original/`
 * layout does not say it, and the other one's `quantization_config` stays behind when a model is dequantised.
 *
 * @returns null where the first layer has experts of neither kind.
 */
export function storedExpertFormat(tensors: Tensors, layout: GptOssLayout): GptOssConfig['expertFormat'] | null {
  const { layer, gateUp, blocks } = layoutNames[layout];
  const name = layer(0) + gateUp;
  if (tensors.has(name + blocks)) return 'mxfp4';
  return tensors.has(name) ? 'bf16' : null;
}

/** Every tensor of a checkpoint with this configuration, layer by layer, as the published checkpoints store it. */
export function gptOssTensorTable(config: GptOssConfig, layout: GptOssLayout): TensorSpecification[] {
  return tensorTable(config, layout).map(({ name, forms: [published] }) => ({ name, ...published }));
}

function tensorTable(config: GptOssConfig, layout: GptOssLayout): TableEntry[] {
  const names = layoutNames[layout];
  const { vocabularySize, hiddenSize } = config;
  const table = [
    floats(names.embedding, vocabularySize, hiddenSize),
    ...config.layerTypes.flatMap((_, index) => layerTable(config, layout, index)),
    floats(names.finalNorm, hiddenSize),
  ];
  if (!config.tieWordEmbeddings) table.push(floats(names.lmHead, vocabularySize, hiddenSize));
  return table;
}

function layerTable(config: GptOssConfig, layout: GptOssLayout, index: number): TableEntry[] {
  const names = layoutNames[layout];
  const { hiddenSize, experts, attentionHeads, keyValueHeads, headDim, intermediateSize } = config;
  const queryRows = attentionHeads * headDim;
  const keyRows = keyValueHeads * headDim;
  const linear = (name: string, rows: number, columns: number): TableEntry[] => [
    floats(`${name}.weight`, rows, columns),
    floats(`${name}.bias`, rows),
  ];
  const projections =
    layout === 'original'
      ? linear('attn.qkv', queryRows + 2 * keyRows, hiddenSize)
      : [
          ...linear('self_attn.q_proj', queryRows, hiddenSize),
          ...linear('self_attn.k_proj', keyRows, hiddenSize),
          ...linear('self_attn.v_proj', keyRows, hiddenSize),
        ];
  const expert = (name: string, rows: number, columns: number): TableEntry[] =>
    expertTable(config, layout, name, [experts, rows, columns]);
  return [
    floats(names.inputNorm, hiddenSize),
    ...projections,
    ...linear(names.output, hiddenSize, queryRows),
    floats(names.sinks, attentionHeads),
    floats(names.postAttentionNorm, hiddenSize),
    ...linear(names.router, experts, hiddenSize),
    ...expert(names.gateUp, 2 * intermediateSize, hiddenSize),
    floats(names.gateUpBias, experts, 2 * intermediateSize),
    ...expert(names.down, hiddenSize, intermediateSize),
    floats(names.downBias, experts, hiddenSize),
  ].map(({ name, forms }) => ({ name: names.layer(index) + name, forms }));
}

function expertTable(
  config: GptOssConfig,
  layout: GptOssLayout,
  name: string,
  [experts, rows, columns]: ExpertShape,
): TableEntry[] {
  if (config.expertFormat === 'bf16') {
    return [layout === 'huggingface' ? floats(name, experts, columns, rows) : floats(name, experts, rows, columns)];
  }
  const { blocks, scales } = layoutNames[layout];
  const perRow = columns / MXFP4_BLOCK;
  return [
    entry(name + blocks, 'mxfp4-codes', [experts, rows, perRow]),
    entry(name + scales, 'mxfp4-scales', [experts, rows, perRow]),
  ];
}

function floats(name: string, ...shape: readonly number[]): TableEntry {
  return entry(name, 'floats', shape);
}

function entry(name: string, values: TensorValues, shape: readonly number[]): TableEntry {
  return { name, forms: readableForms(values, shape) };
}

/**
 * Checks a checkpoint's tensors against its configuration and sorts them by role. No bytes are touched.
 *
 * @param path names the checkpoint in errors.
 * @throws MissingTensorsError, UnexpectedTensorsError or TensorMismatchError
 */
export function assignGptOssWeights(
  tensors: Tensors,
  config: GptOssConfig,
  layout: GptOssLayout,
  path: string,
): GptOssWeights {
  checkTensors(tensors, config, layout, path);
  const names = layoutNames[layout];
  const take = (name: string): Tensor => {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new MissingTensorsError(path, [name]);
    return tensor;
  };
  const embedding = take(names.embedding);
  return {
    embedding,
    layers: config.layerTypes.map((_, index) => assignLayer(take, config, layout, index)),
    finalNorm: take(names.finalNorm),
    lmHead: config.tieWordEmbeddings ? embedding : take(names.lmHead),
  };
}

function assignLayer(
  take: (name: string) => Tensor,
  config: GptOssConfig,
  layout: GptOssLayout,
  index: number,
): GptOssLayerWeights {
  const names = layoutNames[layout];
  const { experts, hiddenSize, intermediateSize } = config;
  const prefix = names.layer(index);
  const linear = (name: string): { weight: Tensor; bias: Tensor } => ({
    weight: take(`${prefix}${name}.weight`),
    bias: take(`${prefix}${name}.bias`),
  });
  const expert = (name: string, shape: ExpertShape): ExpertTensor =>
    config.expertFormat === 'bf16'
      ? { kind: 'bf16', shape, tensor: take(prefix + name), transposed: layout === 'huggingface' }
      : {
          kind: 'mxfp4',
          shape,
          blocks: mxfp4Part(take(prefix + name + names.blocks), 'mxfp4-codes', shape),
          scales: mxfp4Part(take(prefix + name + names.scales), 'mxfp4-scales', shape),
        };
  return {
    inputNorm: take(prefix + names.inputNorm),
    ...(layout === 'original'
      ? splitProjections(linear('attn.qkv'), config)
      : { query: linear('self_attn.q_proj'), key: linear('self_attn.k_proj'), value: linear('self_attn.v_proj') }),
    output: linear(names.output),
    sinks: take(prefix + names.sinks),
    postAttentionNorm: take(prefix + names.postAttentionNorm),
    router: linear(names.router),
    gateUp: {
      weight: expert(names.gateUp, [experts, 2 * intermediateSize, hiddenSize]),
      bias: take(prefix + names.gateUpBias),
    },
    down: {
      weight: expert(names.down, [experts, hiddenSize, intermediateSize]),
      bias: take(prefix + names.downBias),
    },
  };
}

/** Whatever the file calls the dtype, MXFP4's parts are read as the published one. */
function mxfp4Part(tensor: Tensor, values: TensorValues, [experts, rows, columns]: ExpertShape): Tensor {
  const [published] = readableForms(values, [experts, rows, columns / MXFP4_BLOCK]);
  return hasForm(tensor, published) ? tensor : inForm(tensor, published);
}

/** The fused projection holds the query rows first, then the key rows, then the value rows. */
function splitProjections(
  fused: { readonly weight: Tensor; readonly bias: Tensor },
  { attentionHeads, keyValueHeads, headDim }: GptOssConfig,
): Pick<GptOssLayerWeights, 'query' | 'key' | 'value'> {
  const queryEnd = attentionHeads * headDim;
  const keyEnd = queryEnd + keyValueHeads * headDim;
  const valueEnd = keyEnd + keyValueHeads * headDim;
  const rows = (part: string, begin: number, end: number): { weight: Tensor; bias: Tensor } => ({
    weight: rowsOf(fused.weight, begin, end, part),
    bias: rowsOf(fused.bias, begin, end, part),
  });
  return {
    query: rows('query', 0, queryEnd),
    key: rows('key', queryEnd, keyEnd),
    value: rows('value', keyEnd, valueEnd),
  };
}

function checkTensors(tensors: Tensors, config: GptOssConfig, layout: GptOssLayout, path: string): void {
  const table = tensorTable(config, layout);
  const missing = table.filter(({ name }) => !tensors.has(name)).map(({ name }) => name);
  if (missing.length > 0) throw new MissingTensorsError(path, missing);

  const known = new Set(table.map(({ name }) => name));
  // Some writers store the tied head a second time.
  if (config.tieWordEmbeddings) known.add(layoutNames[layout].lmHead);
  const unexpected = [...tensors.keys()].filter((name) => !known.has(name) && !COMPUTED.test(name));
  if (unexpected.length > 0) throw new UnexpectedTensorsError(path, unexpected);

  for (const { name, forms } of table) {
    const found = tensors.get(name);
    if (found === undefined || forms.some((form) => hasForm(found, form))) continue;
    throw new TensorMismatchError(path, name, forms, { dtype: found.dtype, shape: found.shape });
  }
}
