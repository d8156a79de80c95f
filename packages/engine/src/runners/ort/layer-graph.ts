import type { GptOssConfig, GptOssLayerWeights, Tensor } from '@switchyard/models';
import { denseConstant, f32Constant, joinedConstant, readF32, transposedConstant } from './dense-weights.ts';
import { BLOCK, expertAsBlocks, expertAsF32, gateThenUp, inOrder } from './expert-weights.ts';
import type { ExpertForm, RowOrder } from './expert-weights.ts';
import { GraphBuilder, float } from './graph.ts';
import type { Value } from './graph.ts';

/**
 * The model cut at its routers: one graph from each router to the next.
 *
 *   first   embedding rows            -> attention block of layer 0 -> gate logits
 *   layer l experts of layer l - 1    -> attention block of layer l -> gate logits
 *   last    experts of the last layer -> final norm, LM head        -> logits
 *
 * Activations between graphs are [tokens, 1, hidden], so that a token's row means the same in every step shape; only
 * the attention sees [batch, length].
 */

/** The inputs of the expert block, as the runner fills them from a dispatch plan. S = slots, T = tokens, K = top-k. */
export const PLAN_INPUTS = ['planRows', 'planExperts', 'planCounts', 'planInverse', 'planWeights'] as const;

/** MatMulNBits: multiply in integers, activations rounded to int8. The other levels unpack the weights in every call. */
const INT8_ACTIVATIONS = 4;
/** Keeps a block of zeros from dividing by zero. */
const SMALLEST_STEP = 1e-30;
const SWIGLU_ALPHA = 1.702;
/** The additive 1 of the up half. */
const UP_OFFSET = 1;

/** The graph that ends at the first layer's router. */
export function firstGraph(config: GptOssConfig, layer: GptOssLayerWeights, index: number): GraphBuilder {
  const graph = new GraphBuilder('embedding-to-router-0');
  const residual = graph.input('residual', 'float32', ['tokens', 1, config.hiddenSize]);
  const normalized = graph.op(
    'SimplifiedLayerNormalization',
    [residual, constant(graph, 'inputNorm', layer.inputNorm)],
    {
      axis: -1,
      epsilon: float(config.rmsNormEpsilon),
    },
  );
  attentionBlock(graph, config, layer, config.layerTypes[index] ?? 'full', residual, normalized);
  return graph;
}

/** The graph between two routers: experts of `previous`, then everything of `layer` up to its router. */
export function betweenRoutersGraph(
  config: GptOssConfig,
  previous: GptOssLayerWeights,
  layer: GptOssLayerWeights,
  index: number,
  form: ExpertForm,
): GraphBuilder {
  const graph = new GraphBuilder(`router-${index - 1}-to-router-${index}`);
  const mixture = expertBlock(graph, config, previous, form);
  const { normalized, sum } = addAndNormalize(
    graph,
    config,
    mixture,
    graph.input('residual', 'float32', ['tokens', 1, config.hiddenSize]),
    layer.inputNorm,
    'inputNorm',
  );
  attentionBlock(graph, config, layer, config.layerTypes[index] ?? 'full', sum, normalized);
  return graph;
}

/** The graph after the last router, for the rows whose logits are wanted. */
export function lastGraph(
  config: GptOssConfig,
  previous: GptOssLayerWeights,
  finalNorm: Tensor,
  lmHead: Tensor,
  form: ExpertForm,
): GraphBuilder {
  const graph = new GraphBuilder('last-router-to-logits');
  const mixture = expertBlock(graph, config, previous, form);
  const { normalized } = addAndNormalize(
    graph,
    config,
    mixture,
    graph.input('residual', 'float32', ['tokens', 1, config.hiddenSize]),
    finalNorm,
    'finalNorm',
  );
  const logits = graph.op('MatMul', [normalized, graph.constant('lmHead', transposedConstant([lmHead]))]);
  graph.output('logits', logits, 'float32', ['tokens', 1, config.vocabularySize]);
  return graph;
}

/**
 * QKV, rotary embedding, attention with sinks, output projection, residual, norm and gate projection.
 *
 * The rotary embedding stands before the attention operator and not in it, so that the rotated keys come out as they
 * are, and so that a window's cache may start at any position.
 */
function attentionBlock(
  graph: GraphBuilder,
  config: GptOssConfig,
  layer: GptOssLayerWeights,
  type: 'sliding' | 'full',
  residual: Value,
  normalized: Value,
): void {
  const { headDim, attentionHeads, keyValueHeads, hiddenSize } = config;
  const queryWidth = attentionHeads * headDim;
  const keyWidth = keyValueHeads * headDim;
  const past = ['batch', keyValueHeads, 'capacity', headDim];
  const stepShape = graph.input('stepShape', 'int64', [3]);
  const positions = graph.input('positions', 'int64', ['batch', 'length']);
  const cosine = graph.input('cosine', 'float32', ['positions', headDim / 2]);
  const sine = graph.input('sine', 'float32', ['positions', headDim / 2]);
  const pastKey = graph.input('pastKey', 'float32', past);
  const pastValue = graph.input('pastValue', 'float32', past);
  const lastIndex = graph.input('lastIndex', 'int32', ['batch']);
  const totalLength = graph.input('totalLength', 'int32', []);

  const projections = [layer.query, layer.key, layer.value];
  const fused = graph.op('Add', [
    graph.op('MatMul', [
      normalized,
      graph.constant('qkv', transposedConstant(projections.map(({ weight }) => weight))),
    ]),
    graph.constant('qkvBias', joinedConstant(projections.map(({ bias }) => bias))),
  ]);
  const shaped = graph.op('Reshape', [fused, stepShape]);
  const [query = '', key = '', value = ''] = graph.split(
    shaped,
    graph.integers([queryWidth, keyWidth, keyWidth]),
    3,
    2,
  );
  const rotate = (heads: Value): Value =>
    graph.contrib('RotaryEmbedding', [heads, positions, cosine, sine], { interleaved: 0 });
  const rotatedKey = rotate(key);
  const attributes = {
    num_heads: attentionHeads,
    kv_num_heads: keyValueHeads,
    scale: float(1 / Math.sqrt(headDim)),
    ...(type === 'sliding' ? { local_window_size: config.slidingWindow } : {}),
  };
  const sinks = constant(graph, 'sinks', layer.sinks);
  const inputs = [rotate(query), rotatedKey, value, pastKey, pastValue, lastIndex, totalLength, '', '', '', '', sinks];
  // The present outputs must exist for the past to be read; only the new rows leave the graph.
  const [attended = ''] = graph.contribMany('GroupQueryAttention', inputs, 3, attributes);
  const projected = graph.op('MatMul', [
    graph.op('Reshape', [attended, graph.integers([-1, 1, queryWidth])]),
    graph.constant('output', transposedConstant([layer.output.weight])),
  ]);
  const { normalized: experts, sum } = addAndNormalize(
    graph,
    config,
    projected,
    residual,
    layer.postAttentionNorm,
    'postAttentionNorm',
    layer.output.bias,
  );
  const gate = graph.op('Add', [
    graph.op('MatMul', [experts, graph.constant('gate', transposedConstant([layer.router.weight]))]),
    constant(graph, 'gateBias', layer.router.bias),
  ]);
  graph.output('nextResidual', sum, 'float32', ['tokens', 1, hiddenSize]);
  graph.output('nextExpertInput', experts, 'float32', ['tokens', 1, hiddenSize]);
  graph.output('gateLogits', gate, 'float32', ['tokens', 1, config.experts]);
  graph.output('newKey', rotatedKey, 'float32', ['batch', 'length', keyWidth]);
  graph.output('newValue', value, 'float32', ['batch', 'length', keyWidth]);
}

/**
 * Dispatch and combine by the plan: rows are gathered in the plan's order, each expert multiplies its own block of rows
 * (none, for most experts of a small step: a multiplication of no rows costs about a microsecond), and the results go
 * back to their tokens, weighted.
 */
function expertBlock(graph: GraphBuilder, config: GptOssConfig, layer: GptOssLayerWeights, form: ExpertForm): Value {
  const { hiddenSize, intermediateSize, experts, expertsPerToken, swigluLimit } = config;
  const input = graph.input('expertInput', 'float32', ['tokens', hiddenSize]);
  const rows = graph.input('planRows', 'int32', ['slots']);
  const rowExperts = graph.input('planExperts', 'int32', ['slots']);
  const counts = graph.input('planCounts', 'int64', [experts]);
  const inverse = graph.input('planInverse', 'int32', ['slots']);
  const weights = graph.input('planWeights', 'float32', ['tokens', 1, expertsPerToken]);

  const terms = form === 'blocks8' ? 2 : 1;
  const partCounts = terms === 1 ? counts : graph.op('Add', [counts, counts]);
  const perExpert = (value: Value, linear: GptOssLayerWeights['gateUp'], name: string, order: RowOrder): Value => {
    const [, outputs, inputs] = linear.weight.shape;
    const parts = graph.split(terms === 1 ? value : twoTerms(graph, value, inputs), partCounts, experts, 0);
    const products = graph.op(
      'Concat',
      parts.map((part, expert) => expertProduct(graph, part, linear.weight, expert, order, form, `${name}${expert}`)),
      { axis: 0 },
    );
    const sums = terms === 1 ? products : addTerms(graph, products, outputs);
    const bias = graph.constant(`${name}Bias`, reorderedBias(linear.bias, order));
    return graph.op('Add', [sums, graph.op('Gather', [bias, rowExperts], { axis: 0 })]);
  };
  const gathered = graph.op('Gather', [input, rows], { axis: 0 });
  const gateUp = perExpert(gathered, layer.gateUp, 'gateUp', gateThenUp);
  const [gate = '', up = ''] = graph.split(gateUp, graph.integers([intermediateSize, intermediateSize]), 2, 1);
  const scalar = (value: number): Value => graph.floats([value], []);
  const clampedGate = graph.op('Min', [gate, scalar(swigluLimit)]);
  const clampedUp = graph.op('Clip', [up, scalar(-swigluLimit), scalar(swigluLimit)]);
  // QuickGelu is x * sigmoid(alpha * x).
  const activated = graph.op('Mul', [
    graph.contrib('QuickGelu', [clampedGate], { alpha: float(SWIGLU_ALPHA) }),
    graph.op('Add', [clampedUp, scalar(UP_OFFSET)]),
  ]);
  const down = perExpert(activated, layer.down, 'down', inOrder);
  const bySlot = graph.op('Gather', [down, inverse], { axis: 0 });
  return graph.op('MatMul', [
    weights,
    graph.op('Reshape', [bySlot, graph.integers([-1, expertsPerToken, hiddenSize])]),
  ]);
}

/**
 * Rows [S, columns] as two terms each, [2 S, columns]: what the 8-bit kernel's own rounding of activations would keep
 * (blocks of 32 as int8 times their largest magnitude / 127), and the rest. The kernel represents the first exactly and
 * the second to 8 bits more, so the sum of the two products is as good as with 15-bit activations, while the weights,
 * which are nearly all of the memory traffic, are read once.
 */
function twoTerms(graph: GraphBuilder, rows: Value, columns: number): Value {
  const blocks = graph.op('Reshape', [rows, graph.integers([-1, 1, columns / BLOCK, BLOCK])]);
  const largest = graph.op('ReduceMax', [graph.op('Abs', [blocks]), graph.integers([3])], { keepdims: 1 });
  const step = graph.op('Max', [
    graph.op('Mul', [largest, graph.floats([1 / 127], [])]),
    graph.floats([SMALLEST_STEP], []),
  ]);
  const first = graph.op('Mul', [graph.op('Round', [graph.op('Div', [blocks, step])]), step]);
  const both = graph.op('Concat', [first, graph.op('Sub', [blocks, first])], { axis: 1 });
  return graph.op('Reshape', [both, graph.integers([-1, columns])]);
}

/** The sums [S, columns] of neighbouring rows [2 S, columns]. */
function addTerms(graph: GraphBuilder, rows: Value, columns: number): Value {
  const pairs = graph.op('Reshape', [rows, graph.integers([-1, 2, columns])]);
  return graph.op('ReduceSum', [pairs, graph.integers([1])], { keepdims: 0 });
}

function expertProduct(
  graph: GraphBuilder,
  rows: Value,
  weight: GptOssLayerWeights['gateUp']['weight'],
  expert: number,
  order: RowOrder,
  form: ExpertForm,
  name: string,
): Value {
  const [, outputs, inputs] = weight.shape;
  if (form === 'f32' || weight.kind === 'bf16') {
    return graph.op('MatMul', [rows, graph.constant(name, expertAsF32(weight, expert, order))]);
  }
  const bits = form === 'blocks8' ? 8 : 4;
  const { blocks, scales } = expertAsBlocks(weight, expert, order, bits);
  return graph.contrib('MatMulNBits', [rows, graph.constant(name, blocks), graph.constant(`${name}Scales`, scales)], {
    K: inputs,
    N: outputs,
    bits,
    block_size: BLOCK,
    accuracy_level: INT8_ACTIVATIONS,
  });
}

/** RMSNorm of (value + bias) + residual, and that sum. */
function addAndNormalize(
  graph: GraphBuilder,
  config: GptOssConfig,
  value: Value,
  residual: Value,
  norm: Tensor,
  name: string,
  bias?: Tensor,
): { readonly normalized: Value; readonly sum: Value } {
  const inputs = [
    value,
    residual,
    constant(graph, name, norm),
    ...(bias === undefined ? [] : [constant(graph, `${name}Bias`, bias)]),
  ];
  const [normalized = '', , , sum = ''] = graph.contribMany('SkipSimplifiedLayerNormalization', inputs, 4, {
    epsilon: float(config.rmsNormEpsilon),
  });
  return { normalized, sum };
}

function constant(graph: GraphBuilder, name: string, tensor: Tensor): Value {
  return graph.constant(name, denseConstant(tensor));
}

/** Bias [experts, rows] with each expert's entries in the order of its weight's rows. */
function reorderedBias(bias: Tensor, order: RowOrder): ReturnType<typeof f32Constant> {
  const source = readF32(bias);
  const rows = bias.shape[1] ?? 0;
  const values = source.map((_, index) => source[index - (index % rows) + order(index % rows, rows)] as number);
  return f32Constant(values, bias.shape);
}
