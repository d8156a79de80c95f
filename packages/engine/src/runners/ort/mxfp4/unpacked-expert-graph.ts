import type { GptOssConfig } from '@switchyard/models';
import { clampedSwiglu, combine } from '../expert-graph.ts';
import type { ExpertPart } from '../expert-graph.ts';
import { GraphBuilder } from '../graph.ts';
import type { Value } from '../graph.ts';

/**
 * The experts of any layer, their weights being inputs: `gateUp0` ..., f32 [2 * intermediate, hidden], gate rows before
 * up rows, and `down0` ..., f32 [hidden, intermediate]; biases `gateUpBias` and `downBias`, f32 [experts * outputs, 1].
 * Dispatch and combine are those of `expertGraph`.
 *
 * A column is a row of the plan here, and weights stand on the left of a product: ONNX Runtime reorders the right-hand
 * side of every product anew, which is more work than the product where an expert has few rows and its weights stand
 * there.
 */
export function unpackedExpertGraph(config: GptOssConfig): GraphBuilder {
  const graph = new GraphBuilder('unpacked-experts');
  const { hiddenSize, intermediateSize, experts } = config;
  const input = graph.input('expertInput', 'float32', ['tokens', hiddenSize]);
  const rows = graph.input('planRows', 'int32', ['slots']);
  const counts = graph.input('planCounts', 'int64', [experts]);
  const inverse = graph.input('planInverse', 'int32', ['slots']);

  const linear = (
    part: ExpertPart,
    blocks: readonly Value[],
    outputs: number,
    inputs: number,
    transB: 0 | 1,
  ): Value => {
    const bias = graph.input(`${part}Bias`, 'float32', [experts * outputs, 1]);
    const biases = graph.split(bias, graph.integers(Array.from({ length: experts }, () => outputs)), experts, 0);
    const products = blocks.map((block, expert) => {
      const weight = graph.input(`${part}${expert}`, 'float32', [outputs, inputs]);
      return graph.op('Gemm', [weight, block, biases[expert] ?? ''], { transB });
    });
    return graph.op('Concat', products, { axis: 1 });
  };
  const gathered = graph.split(graph.op('Gather', [input, rows], { axis: 0 }), counts, experts, 0);
  const gateUp = linear('gateUp', gathered, 2 * intermediateSize, hiddenSize, 1);
  const [gate = '', up = ''] = graph.split(gateUp, graph.integers([intermediateSize, intermediateSize]), 2, 0);
  const activated = graph.split(clampedSwiglu(graph, config, gate, up), counts, experts, 1);
  const down = linear('down', activated, hiddenSize, intermediateSize, 0);
  const bySlot = graph.op('Gather', [graph.op('Transpose', [down], { perm: [1, 0] }), inverse], { axis: 0 });
  combine(graph, config, bySlot);
  return graph;
}
