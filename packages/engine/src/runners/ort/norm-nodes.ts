import type { GptOssConfig, Tensor } from '@switchyard/models';
import { denseWeight } from './dense-weights.ts';
import { float } from './graph.ts';
import type { GraphBuilder, Value } from './graph.ts';

type NormShape = Pick<GptOssConfig, 'rmsNormEpsilon'>;

/** RMSNorm. */
export function normalize(graph: GraphBuilder, config: NormShape, value: Value, norm: Tensor, name: string): Value {
  return graph.op('SimplifiedLayerNormalization', [value, ...graph.weight(denseWeight(name, norm))], {
    axis: -1,
    epsilon: float(config.rmsNormEpsilon),
    stash_type: 1,
  });
}

/** RMSNorm of (value + bias) + residual, and that sum. */
export function addAndNormalize(
  graph: GraphBuilder,
  config: NormShape,
  value: Value,
  residual: Value,
  norm: Tensor,
  name: string,
  bias: Tensor,
): { readonly normalized: Value; readonly sum: Value } {
  const inputs = [
    value,
    residual,
    ...graph.weight(denseWeight(name, norm)),
    ...graph.weight(denseWeight(`${name}Bias`, bias)),
  ];
  const [normalized = '', , , sum = ''] = graph.contribMany('SkipSimplifiedLayerNormalization', inputs, 4, {
    epsilon: float(config.rmsNormEpsilon),
  });
  return { normalized, sum };
}
