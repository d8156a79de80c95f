/**
 * A GPT-OSS model in f64, to be read: token ids in, logits out, the whole prompt at once and nothing kept between calls.
 * It has the shape of openai/gpt-oss's torch/model.py and is the oracle that every runner is tested against; each of its
 * parts stands in a file of its own beside it.
 */

import type { GptOssConfig, GptOssLayerWeights, GptOssWeights, Tensor } from '@switchyard/models';
import { attend } from './attention.ts';
import { referenceExperts } from './experts.ts';
import { linear } from './linear.ts';
import { rotate } from './rotary.ts';
import { chooseExperts } from './router.ts';
import type { ReferenceRouting } from './router.ts';
import { readValues } from './weights-f64.ts';

/** The places of a forward pass whose values can be looked at, in the order of a token's way. */
export type ReferenceStage =
  | 'embedding'
  | 'query'
  | 'key'
  | 'value'
  | 'attended'
  | 'attentionResidual'
  | 'expertInput'
  | 'routerLogits'
  | 'experts'
  | 'residual'
  | 'logits';

/** Hears the values of a stage, f64 [T, width]; they must not be changed. `layer` is -1 outside the layers. */
export type StageObserver = (stage: ReferenceStage, layer: number, values: Float64Array) => void;

/** What `forward` gives. */
export interface ReferenceOutput {
  /** f64 [T, vocabulary]. */
  readonly logits: Float64Array;
  /** One entry a layer. */
  readonly routing: readonly ReferenceRouting[];
}

/**
 * Runs the model over a prompt. Slow: for tests and for people who want to know what a layer is.
 *
 * @param ids at least one, each below the vocabulary's size.
 * @param observe hears the values on the way; default nobody.
 * @param keep how keys and values are kept, f64 [T, KV heads * head size]: kept-heads.ts has a way. Default as they are.
 */
export function forward(
  { config, weights }: { readonly config: GptOssConfig; readonly weights: GptOssWeights },
  ids: readonly number[],
  observe: StageObserver = () => {},
  keep: (rows: Float64Array) => Float64Array = (rows) => rows,
): ReferenceOutput {
  const routing: ReferenceRouting[] = [];
  let residual = embed(weights.embedding, ids, config.hiddenSize);
  observe('embedding', -1, residual);
  weights.layers.forEach((layer, index) => {
    const see = (stage: ReferenceStage, values: Float64Array): void => observe(stage, index, values);
    residual = add(residual, attention(config, layer, index, residual, see, keep));
    see('attentionResidual', residual);
    residual = add(residual, experts(config, layer, residual, see, routing));
    see('residual', residual);
  });
  const logits = linear(
    rmsNorm(residual, readValues(weights.finalNorm), config.rmsNormEpsilon),
    readValues(weights.lmHead),
    null,
    config.hiddenSize,
  );
  observe('logits', -1, logits);
  return { logits, routing };
}

function embed(embedding: Tensor, ids: readonly number[], hiddenSize: number): Float64Array {
  const rows = new Float64Array(ids.length * hiddenSize);
  ids.forEach((id, index) => rows.set(readValues(embedding, id * hiddenSize, hiddenSize), index * hiddenSize));
  return rows;
}

/** Norm, QKV, rotary embedding, attention, output projection. */
function attention(
  config: GptOssConfig,
  layer: GptOssLayerWeights,
  index: number,
  residual: Float64Array,
  see: (stage: ReferenceStage, values: Float64Array) => void,
  keep: (rows: Float64Array) => Float64Array,
): Float64Array {
  const { attentionHeads, keyValueHeads, headDim, slidingWindow } = config;
  const normed = rmsNorm(residual, readValues(layer.inputNorm), config.rmsNormEpsilon);
  const queries = project(normed, layer.query);
  const keys = project(normed, layer.key);
  const values = project(normed, layer.value);
  rotate(queries, attentionHeads, config);
  rotate(keys, keyValueHeads, config);
  see('query', queries);
  see('key', keys);
  see('value', values);
  const window = config.layerTypes[index] === 'sliding' ? slidingWindow : Infinity;
  const attended = attend(queries, keep(keys), keep(values), readValues(layer.sinks), headDim, window);
  see('attended', attended);
  return project(attended, layer.output);
}

/** Norm, gate projection, router, experts, combine. */
function experts(
  config: GptOssConfig,
  layer: GptOssLayerWeights,
  residual: Float64Array,
  see: (stage: ReferenceStage, values: Float64Array) => void,
  routing: ReferenceRouting[],
): Float64Array {
  const input = rmsNorm(residual, readValues(layer.postAttentionNorm), config.rmsNormEpsilon);
  see('expertInput', input);
  const logits = project(input, layer.router);
  see('routerLogits', logits);
  const chosen = chooseExperts(logits, config.experts, config.expertsPerToken);
  routing.push(chosen);
  const mixed = referenceExperts(config, layer, input, chosen.ids, chosen.weights);
  see('experts', mixed);
  return mixed;
}

function project(input: Float64Array, { weight, bias }: { weight: Tensor; bias: Tensor }): Float64Array {
  return linear(input, readValues(weight), readValues(bias));
}

/** x / sqrt(mean(x^2) + epsilon) * gain, row by row (Zhang and Sennrich 2019, "Root Mean Square Layer Normalization"). */
function rmsNorm(rows: Float64Array, gain: Float64Array, epsilon: number): Float64Array {
  const width = gain.length;
  const result = new Float64Array(rows.length);
  for (let start = 0; start < rows.length; start += width) {
    const row = rows.subarray(start, start + width);
    const mean = row.reduce((sum, value) => sum + value * value, 0) / width;
    const scale = 1 / Math.sqrt(mean + epsilon);
    for (let index = 0; index < width; index++) {
      result[start + index] = (row[index] as number) * scale * (gain[index] as number);
    }
  }
  return result;
}

function add(left: Float64Array, right: Float64Array): Float64Array {
  return left.map((value, index) => value + (right[index] as number));
}
