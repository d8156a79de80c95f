/** What the experts of a GPT-OSS layer compute, in f64: the oracle for the fast forms. */

import type { GptOssConfig, GptOssLayerWeights } from '@switchyard/models';
import { linear } from './linear.ts';
import { readExpert, readValues } from './weights-f64.ts';

/** The sizes of a model's mixture-of-experts layers. */
type ExpertSizes = Pick<GptOssConfig, 'hiddenSize' | 'intermediateSize' | 'expertsPerToken' | 'swigluLimit'>;

const SWIGLU_ALPHA = 1.702;

/**
 * Each token's K experts, weighted and summed, in the order of the definition (openai/gpt-oss, torch/model.py, MLPBlock):
 *
 *   gate_up = W1 x + b1, gate = even entries, up = odd entries
 *   gate <- min(gate, limit), up <- clamp(up, -limit, limit)
 *   y = W2 ((up + 1) * gate * sigmoid(1.702 * gate)) + b2
 *   output = sum over the token's K experts of weight * y
 *
 * @param input [T, hidden].
 * @param ids i32 [T, K].
 * @param weights [T, K].
 * @returns f64 [T, hidden].
 */
export function referenceExperts(
  sizes: ExpertSizes,
  { gateUp, down }: Pick<GptOssLayerWeights, 'gateUp' | 'down'>,
  input: Float64Array | Float32Array,
  ids: Int32Array,
  weights: Float64Array | Float32Array,
): Float64Array {
  const { hiddenSize, intermediateSize, expertsPerToken } = sizes;
  const [gateUpBias, downBias] = [readValues(gateUp.bias), readValues(down.bias)];
  const output = new Float64Array(input.length);
  // Expert by expert, so that only one is decoded at a time; each token's sum still runs in the order of its experts.
  const results = new Map<number, Float64Array>();
  for (const expert of new Set(ids)) {
    const up = readExpert(gateUp.weight, expert);
    const out = readExpert(down.weight, expert);
    ids.forEach((chosen, slot) => {
      if (chosen !== expert) return;
      const token = Math.floor(slot / expertsPerToken);
      const row = new Float64Array(input.subarray(token * hiddenSize, (token + 1) * hiddenSize));
      const rows = 2 * intermediateSize;
      const interleaved = linear(row, up, gateUpBias.subarray(expert * rows, (expert + 1) * rows));
      const bias = downBias.subarray(expert * hiddenSize, (expert + 1) * hiddenSize);
      results.set(slot, linear(swiglu(interleaved, sizes.swigluLimit), out, bias));
    });
  }
  for (const slot of ids.keys()) {
    const token = Math.floor(slot / expertsPerToken);
    results.get(slot)?.forEach((value, index) => {
      const place = token * hiddenSize + index;
      output[place] = (output[place] as number) + value * (weights[slot] as number);
    });
  }
  return output;
}

/** GPT-OSS's activation of interleaved gate and up halves, [2 N] to [N]. */
function swiglu(interleaved: Float64Array, limit: number): Float64Array {
  return Float64Array.from({ length: interleaved.length / 2 }, (_, index) => {
    const gate = Math.min(interleaved[2 * index] as number, limit);
    const up = Math.min(Math.max(interleaved[2 * index + 1] as number, -limit), limit);
    return (up + 1) * (gate / (1 + Math.exp(-SWIGLU_ALPHA * gate)));
  });
}
