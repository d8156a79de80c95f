import { decodeMxfp4, readTensorBytes } from '@switchyard/models';
import type { ExpertTensor, GptOssLayerWeights } from '@switchyard/models';
import type { ExpertShape, ReadF32 } from './mxfp4-experts.ts';

/**
 * What the experts of a GPT-OSS layer compute, in f64 and in the order of the definition (OpenAI's gpt-oss reference
 * code): the oracle for the fast forms.
 *
 *   gate_up = W1 x + b1, gate = even entries, up = odd entries
 *   gate <- min(gate, limit), up <- clamp(up, -limit, limit)
 *   y = W2 ((up + 1) * gate * sigmoid(1.702 * gate)) + b2
 *   output = sum over the token's K experts of weight * y
 *
 * @param input f32 [T, hidden].
 * @param ids i32 [T, K].
 * @param weights f32 [T, K].
 * @returns f64 [T, hidden].
 */
export function referenceExperts(
  shape: ExpertShape,
  layer: Pick<GptOssLayerWeights, 'gateUp' | 'down'>,
  readF32: ReadF32,
  input: Float32Array,
  ids: Int32Array,
  weights: Float32Array,
): Float64Array {
  const { hiddenSize, intermediateSize, expertsPerToken, swigluLimit } = shape;
  const gateUp = { weight: decoded(layer.gateUp.weight, readF32), bias: readF32(layer.gateUp.bias) };
  const down = { weight: decoded(layer.down.weight, readF32), bias: readF32(layer.down.bias) };
  const output = new Float64Array(input.length);
  ids.forEach((expert, slot) => {
    const token = Math.floor(slot / expertsPerToken);
    const row = Float64Array.from(input.subarray(token * hiddenSize, (token + 1) * hiddenSize));
    const interleaved = linear(gateUp, expert, row, 2 * intermediateSize);
    const activated = Float64Array.from({ length: intermediateSize }, (_, index) => {
      const gate = Math.min(interleaved[2 * index] as number, swigluLimit);
      const up = Math.min(Math.max(interleaved[2 * index + 1] as number, -swigluLimit), swigluLimit);
      return (up + 1) * (gate / (1 + Math.exp(-1.702 * gate)));
    });
    linear(down, expert, activated, hiddenSize).forEach((value, index) => {
      const place = token * hiddenSize + index;
      output[place] = (output[place] as number) + value * (weights[slot] as number);
    });
  });
  return output;
}

/** weight f32 [experts, outputs, inputs] and bias f32 [experts, outputs]. */
interface DecodedLinear {
  readonly weight: Float32Array;
  readonly bias: Float32Array;
}

function linear({ weight, bias }: DecodedLinear, expert: number, row: Float64Array, outputs: number): Float64Array {
  return Float64Array.from({ length: outputs }, (_, output) => {
    const start = (expert * outputs + output) * row.length;
    return row.reduce(
      (sum, value, column) => sum + value * (weight[start + column] as number),
      bias[expert * outputs + output] as number,
    );
  });
}

/** f32 [experts, outputs, inputs], whatever the checkpoint's form. */
function decoded(weight: ExpertTensor, readF32: ReadF32): Float32Array {
  if (weight.kind === 'mxfp4') {
    return decodeMxfp4(readTensorBytes(weight.blocks), readTensorBytes(weight.scales));
  }
  const stored = readF32(weight.tensor);
  if (!weight.transposed) {
    return stored;
  }
  const [, outputs, inputs] = weight.shape;
  return stored.map((_, index) => {
    const [expert, output, column] = [
      Math.floor(index / (outputs * inputs)),
      Math.floor(index / inputs) % outputs,
      index % inputs,
    ];
    return stored[(expert * inputs + column) * outputs + output] as number;
  });
}
