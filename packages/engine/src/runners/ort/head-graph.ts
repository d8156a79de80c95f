import type { GptOssConfig, GptOssWeights } from '@switchyard/models';
import { transposedConstant } from './dense-weights.ts';
import { GraphBuilder } from './graph.ts';
import { normalize } from './norm-nodes.ts';

/** After the last layer, for the rows whose logits are wanted: final norm, LM head. */
export function headGraph(
  config: GptOssConfig,
  { finalNorm, lmHead }: Pick<GptOssWeights, 'finalNorm' | 'lmHead'>,
): GraphBuilder {
  const graph = new GraphBuilder('head');
  const residual = graph.input('residual', 'float32', ['tokens', config.hiddenSize]);
  const normalized = normalize(graph, config, residual, finalNorm, 'finalNorm');
  const logits = graph.op('MatMul', [normalized, graph.constant('lmHead', transposedConstant([lmHead]))]);
  graph.output('logits', logits, 'float32', ['tokens', config.vocabularySize]);
  return graph;
}
