import type { GptOssConfig, GptOssLayerWeights } from '@switchyard/models';
import { denseConstant, joinedConstant, transposedConstant } from './dense-weights.ts';
import { GraphBuilder, float } from './graph.ts';
import type { Value } from './graph.ts';
import { addAndNormalize } from './norm-nodes.ts';

/**
 * One layer up to its router: residual and norm, QKV, rotary embedding, attention with sinks, output projection,
 * residual and norm, gate projection.
 *
 * What comes out is one vector, because each output costs a step ten microseconds: the residual and the experts' input
 * [tokens, hidden], the router logits [tokens, experts], and the new keys and values [batch, length, key width].
 *
 * The rotary embedding stands before the attention operator and not in it, so that the rotated keys come out as they
 * are, and so that a window's cache may start at any position.
 */
export function attentionGraph(config: GptOssConfig, layer: GptOssLayerWeights, index: number): GraphBuilder {
  const graph = new GraphBuilder(`attention-${index}`);
  const { headDim, attentionHeads, keyValueHeads, hiddenSize } = config;
  const type = config.layerTypes[index] ?? 'full';
  const { normalized, sum: residual } = addAndNormalize(
    graph,
    config,
    graph.input('mixture', 'float32', ['tokens', hiddenSize]),
    graph.input('residual', 'float32', ['tokens', hiddenSize]),
    layer.inputNorm,
    'inputNorm',
  );
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
  const fused = graph.op('Gemm', [
    normalized,
    graph.constant('qkv', transposedConstant(projections.map(({ weight }) => weight))),
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
  const sinks = graph.constant('sinks', denseConstant(layer.sinks));
  const inputs = [rotate(query), rotatedKey, value, pastKey, pastValue, lastIndex, totalLength, '', '', '', '', sinks];
  // The present outputs must exist for the past to be read; only the new rows leave the graph.
  const [attended = ''] = graph.contribMany('GroupQueryAttention', inputs, 3, attributes);
  const projected = graph.op('MatMul', [
    graph.op('Reshape', [attended, graph.integers([-1, queryWidth])]),
    graph.constant('output', transposedConstant([layer.output.weight])),
  ]);
  const { normalized: experts, sum: residualSum } = addAndNormalize(
    graph,
    config,
    projected,
    residual,
    layer.postAttentionNorm,
    'postAttentionNorm',
    layer.output.bias,
  );
  const gate = graph.op('Gemm', [
    experts,
    graph.constant('gate', transposedConstant([layer.router.weight])),
    graph.constant('gateBias', denseConstant(layer.router.bias)),
  ]);
  const flat = (output: Value): Value => graph.op('Reshape', [output, graph.integers([-1])]);
  const outputs = graph.op('Concat', [residualSum, experts, gate, rotatedKey, value].map(flat), { axis: 0 });
  graph.output('outputs', outputs, 'float32', ['outputs']);
  return graph;
}
