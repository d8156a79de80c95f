import { readFloats, tensorByteLength } from '@switchyard/models';
import type { GptOssConfig, GptOssLayerWeights, Tensor } from '@switchyard/models';
import { f32View } from './dense-weights.ts';
import { BLOCK, expertBlocksWeight, expertF32Weight, gateThenUp, inOrder } from './expert-weights.ts';
import type { ExpertRange } from './expert-division.ts';
import type { ExpertForm } from './expert-form.ts';
import type { RowOrder } from './expert-weights.ts';
import { GraphBuilder, float } from './graph.ts';
import type { Value } from './graph.ts';
import { INT8_ACTIVATIONS } from './linear-node.ts';
import type { Weight } from './weight.ts';

/** Keeps a block of zeros from dividing by zero. */
const SMALLEST_STEP = 1e-30;
const SWIGLU_ALPHA = 1.702;
/** The additive 1 of the up half. */
const UP_OFFSET = 1;

/** The two linear parts of an expert. */
export type ExpertPart = 'gateUp' | 'down';

/**
 * One layer's experts with the weights inside: dispatch and combine by the plan inputs of plan-inputs.ts. Rows are
 * gathered in the plan's order, each expert multiplies its own block of rows (none, for most experts of a small step: a
 * multiplication of no rows costs about a microsecond), and the results go back to their tokens, weighted, and onto the
 * residual stream. Output: residualSum [tokens, 1, hidden].
 */
export function expertGraph(config: GptOssConfig, layer: GptOssLayerWeights, form: ExpertForm): GraphBuilder {
  const graph = new GraphBuilder('experts');
  const bias = (part: ExpertPart, order: RowOrder): Value =>
    graph.weight(biasWeight(`${part}Bias`, layer[part].bias, order))[0] ?? '';
  const results = expertResults(graph, config, layer, form, { first: 0, end: config.experts }, bias);
  const inverse = graph.input('planInverse', 'int32', ['slots']);
  combine(graph, config, graph.op('Gather', [results, inverse], { axis: 0 }));
  return graph;
}

/**
 * Some of a layer's experts, for layers that are too large for one session. `planRows`, `planExperts` and `planCounts` are
 * these experts' part of the plan, `planExperts` counted from the first of them; their biases are inputs too, since nothing
 * reorders them: `gateUpBias` [experts, 2 * intermediate], gate before up, and `downBias` [experts, hidden]. Output:
 * results [slots, hidden], in the plan's order.
 */
export function expertGroupGraph(
  config: GptOssConfig,
  layer: GptOssLayerWeights,
  form: ExpertForm,
  range: ExpertRange,
): GraphBuilder {
  const graph = new GraphBuilder('expert-group');
  const bias = (part: ExpertPart): Value =>
    graph.input(`${part}Bias`, 'float32', [range.end - range.first, layer[part].bias.shape[1] ?? 0]);
  const results = expertResults(graph, config, layer, form, range, bias);
  graph.output('results', results, 'float32', ['slots', config.hiddenSize]);
  return graph;
}

/** Combine alone: results [slots, hidden] of all experts, in the plan's order, to residualSum [tokens, 1, hidden]. */
export function combineGraph(config: GptOssConfig): GraphBuilder {
  const graph = new GraphBuilder('combine');
  const results = graph.input('results', 'float32', ['slots', config.hiddenSize]);
  const inverse = graph.input('planInverse', 'int32', ['slots']);
  combine(graph, config, graph.op('Gather', [results, inverse], { axis: 0 }));
  return graph;
}

function expertResults(
  graph: GraphBuilder,
  config: GptOssConfig,
  layer: GptOssLayerWeights,
  form: ExpertForm,
  { first, end }: ExpertRange,
  biasOf: (part: ExpertPart, order: RowOrder) => Value,
): Value {
  const { hiddenSize, intermediateSize } = config;
  const experts = end - first;
  const input = graph.input('expertInput', 'float32', ['tokens', hiddenSize]);
  const rows = graph.input('planRows', 'int32', ['slots']);
  const ofExperts = graph.input('planExperts', 'int32', ['slots']);
  const counts = graph.input('planCounts', 'int64', [experts]);
  const terms = form === 'blocks8' ? 2 : 1;
  const partCounts = terms === 1 ? counts : graph.op('Add', [counts, counts]);
  const linear = (value: Value, part: ExpertPart, order: RowOrder): Value => {
    const { weight } = layer[part];
    const [, outputs, inputs] = weight.shape;
    const parts = graph.split(terms === 1 ? value : twoTerms(graph, value, inputs), partCounts, experts, 0);
    const products = graph.op(
      'Concat',
      parts.map((rows, index) => product(graph, rows, weight, first + index, order, form, `${part}${index}`)),
      { axis: 0 },
    );
    const sums = terms === 1 ? products : addTerms(graph, products, outputs);
    return graph.op('Add', [sums, graph.op('Gather', [biasOf(part, order), ofExperts], { axis: 0 })]);
  };
  const gathered = graph.op('Gather', [input, rows], { axis: 0 });
  const gateUp = linear(gathered, 'gateUp', gateThenUp);
  const [gate = '', up = ''] = graph.split(gateUp, graph.integers([intermediateSize, intermediateSize]), 2, 1);
  return linear(clampedSwiglu(graph, config, gate, up), 'down', inOrder);
}

/**
 * The end of a layer: each token's slots [tokens * K, hidden], weighted by the input planWeights and summed, onto the input
 * residual. Output: residualSum [tokens, 1, hidden].
 */
export function combine(graph: GraphBuilder, { hiddenSize, expertsPerToken }: GptOssConfig, bySlot: Value): void {
  const weights = graph.input('planWeights', 'float32', ['tokens', 1, expertsPerToken]);
  const residual = graph.input('residual', 'float32', ['tokens', 1, hiddenSize]);
  const slots = graph.op('Reshape', [bySlot, graph.integers([-1, expertsPerToken, hiddenSize])]);
  const residualSum = graph.op('Add', [residual, graph.op('MatMul', [weights, slots])]);
  graph.output('residualSum', residualSum, 'float32', ['tokens', 1, hiddenSize]);
}

/** GPT-OSS's activation: (up + 1) * gate * sigmoid(1.702 * gate), both clamped. */
export function clampedSwiglu(
  graph: GraphBuilder,
  { swigluLimit }: Pick<GptOssConfig, 'swigluLimit'>,
  gate: Value,
  up: Value,
): Value {
  const scalar = (value: number): Value => graph.floats([value], []);
  const clampedGate = graph.op('Min', [gate, scalar(swigluLimit)]);
  const clampedUp = graph.op('Clip', [up, scalar(-swigluLimit), scalar(swigluLimit)]);
  // QuickGelu is x * sigmoid(alpha * x).
  return graph.op('Mul', [
    graph.contrib('QuickGelu', [clampedGate], { alpha: float(SWIGLU_ALPHA) }),
    graph.op('Add', [clampedUp, scalar(UP_OFFSET)]),
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

function product(
  graph: GraphBuilder,
  rows: Value,
  weight: GptOssLayerWeights['gateUp']['weight'],
  expert: number,
  order: RowOrder,
  form: ExpertForm,
  name: string,
): Value {
  const [, outputs, inputs] = weight.shape;
  if (weight.kind === 'bf16') {
    return graph.op('MatMul', [rows, ...graph.weight(expertF32Weight(name, weight, expert, order))]);
  }
  const bits = form === 'blocks8' ? 8 : 4;
  return graph.contrib('MatMulNBits', [rows, ...graph.weight(expertBlocksWeight(name, weight, expert, order, bits))], {
    K: inputs,
    N: outputs,
    bits,
    block_size: BLOCK,
    accuracy_level: INT8_ACTIVATIONS,
  });
}

/** The biases f32 [experts, rows], each expert's entries in the order of its weight's rows. */
function biasWeight(name: string, bias: Tensor, order: RowOrder): Weight {
  return {
    constants: [{ name, type: 'float32', shape: bias.shape }],
    write([target], reader) {
      f32View(target as Uint8Array).set(reorderedBias(bias, order));
      reader.skip(tensorByteLength(bias));
    },
  };
}

/** Bias [experts, rows] with each expert's entries in the order of its weight's rows. */
export function reorderedBias(bias: Tensor, order: RowOrder): Float32Array {
  const source = readFloats(bias);
  const rows = bias.shape[1] ?? 0;
  return source.map((_, index) => source[index - (index % rows) + order(index % rows, rows)] as number);
}
