/**
 * W x + b of every row, in f64.
 *
 * @param input f64 [T, inputs].
 * @param weight f64 [outputs, inputs].
 * @param bias f64 [outputs]; null for none, then `outputs` is what the weight has.
 * @returns f64 [T, outputs].
 */
export function linear(
  input: Float64Array,
  weight: Float64Array,
  bias: Float64Array | null,
  inputs = bias === null ? input.length : weight.length / bias.length,
): Float64Array {
  const outputs = weight.length / inputs;
  const rows = input.length / inputs;
  const result = new Float64Array(rows * outputs);
  for (let row = 0; row < rows; row++) {
    for (let output = 0; output < outputs; output++) {
      let sum = 0;
      for (let column = 0; column < inputs; column++) {
        sum += (input[row * inputs + column] as number) * (weight[output * inputs + column] as number);
      }
      result[row * outputs + output] = sum + (bias?.[output] ?? 0);
    }
  }
  return result;
}
