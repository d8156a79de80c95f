import type { GptOssConfig, GptOssLayerWeights } from '@switchyard/models';
import { denseWeight, joinedWeight } from './dense-weights.ts';
import type { DenseForm } from './expert-form.ts';
import { GraphBuilder, float } from './graph.ts';
import { linear } from './linear-node.ts';
import { addAndNormalize, normalize } from './norm-nodes.ts';

/**
 * One layer up to its router: norm, QKV, attention with rotary embedding and sinks, output projection, residual and norm,
 * gate projection. A run costs microseconds for every node, input and output: so activations keep the shape
 * [batch, length, .] throughout, and one matrix comes out, whose rows are laid out as `attentionColumns` says. The queries
 * stay inside: every byte that comes out is copied by the binding and is garbage a layer later.
 *
 * The keys that come out are not rotated: the attention operator hands out its rotated ones only together with all past
 * ones. Positions are an input, so that a window's cache may start at any of them.
 */
export function attentionGraph(
  config: GptOssConfig,
  layer: GptOssLayerWeights,
  index: number,
  form: DenseForm,
): GraphBuilder {
  const graph = new GraphBuilder(`attention-${index}`);
  const { headDim, attentionHeads, keyValueHeads, hiddenSize } = config;
  const type = config.layerTypes[index] ?? 'full';
  const residual = graph.input('residual', 'float32', ['batch', 'length', hiddenSize]);
  const past = ['batch', keyValueHeads, 'capacity', headDim];
  const positions = graph.input('positions', 'int64', ['batch', 'length']);
  const cosine = graph.input('cosine', 'float32', ['positions', headDim / 2]);
  const sine = graph.input('sine', 'float32', ['positions', headDim / 2]);
  const pastKey = graph.input('pastKey', 'float32', past);
  const pastValue = graph.input('pastValue', 'float32', past);
  const lastIndex = graph.input('lastIndex', 'int32', ['batch']);
  const totalLength = graph.input('totalLength', 'int32', []);

  const projections = [layer.query, layer.key, layer.value];
  const fused = graph.op('Add', [
    linear(
      graph,
      normalize(graph, config, residual, layer.inputNorm, 'inputNorm'),
      'qkv',
      projections.map(({ weight }) => weight),
      form,
    ),
    ...graph.weight(
      joinedWeight(
        'qkvBias',
        projections.map(({ bias }) => bias),
      ),
    ),
  ]);
  const attributes = {
    num_heads: attentionHeads,
    kv_num_heads: keyValueHeads,
    scale: float(1 / Math.sqrt(headDim)),
    do_rotary: 1,
    ...(type === 'sliding' ? { local_window_size: config.slidingWindow } : {}),
  };
  const [sinks = ''] = graph.weight(denseWeight('sinks', layer.sinks));
  const inputs = [fused, '', '', pastKey, pastValue, lastIndex, totalLength, cosine, sine, positions, '', sinks];
  // The present outputs must exist for the past to be read; only the new rows leave the graph.
  const [attended = ''] = graph.contribMany('GroupQueryAttention', inputs, 3, attributes);
  const { normalized: experts, sum: residualSum } = addAndNormalize(
    graph,
    config,
    linear(graph, attended, 'output', [layer.output.weight], form),
    residual,
    layer.postAttentionNorm,
    'postAttentionNorm',
    layer.output.bias,
  );
  const gate = graph.op('Add', [
    linear(graph, experts, 'gate', [layer.router.weight], 'f32'),
    ...graph.weight(denseWeight('gateBias', layer.router.bias)),
  ]);
  const queryWidth = attentionHeads * headDim;
  const keysAndValues = graph.op('Slice', [
    fused,
    graph.integers([queryWidth]),
    graph.integers([queryWidth + 2 * keyValueHeads * headDim]),
    graph.integers([2]),
  ]);
  const outputs = graph.op('Concat', [residualSum, experts, gate, keysAndValues], { axis: 2 });
  graph.output('outputs', outputs, 'float32', ['batch', 'length', 'outputs']);
  return graph;
}

/** Columns `start` to `end` - 1 of a matrix. */
export interface Columns {
  readonly start: number;
  readonly end: number;
}

/** What a row (a token) of an attention graph's output holds. */
export interface AttentionColumns {
  readonly residual: Columns;
  /** The experts' input. */
  readonly experts: Columns;
  /** The router logits. */
  readonly gate: Columns;
  /** Not rotated. */
  readonly key: Columns;
  readonly value: Columns;
  /** Columns of all. */
  readonly width: number;
}

/** The layout of the attention graphs' output. */
export function attentionColumns(config: GptOssConfig): AttentionColumns {
  const { hiddenSize, experts, keyValueHeads, headDim } = config;
  let width = 0;
  const take = (columns: number): Columns => {
    width += columns;
    return { start: width - columns, end: width };
  };
  const [residual, input, gate] = [take(hiddenSize), take(hiddenSize), take(experts)];
  const [key, value] = [take(keyValueHeads * headDim), take(keyValueHeads * headDim)];
  return { residual, experts: input, gate, key, value, width };
}
