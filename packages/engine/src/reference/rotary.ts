import type { GptOssConfig } from '@switchyard/models';

/**
 * Rotates heads in place by their positions: rotary embedding with YaRN's scaling (Peng et al. 2023, "YaRN: Efficient
 * Context Window Extension of Large Language Models"; openai/gpt-oss, torch/model.py, RotaryEmbedding). Of each head,
 * element i of the first half turns with element i of the second.
 *
 * @param heads f64 [T, heads, headDim]; row t stands at position t.
 */
export function rotate(heads: Float64Array, count: number, config: Pick<GptOssConfig, 'headDim' | 'rope'>): void {
  const { headDim, rope } = config;
  const pairs = headDim / 2;
  const frequencies = inverseFrequencies(config);
  const concentration = rope.yarn === null ? 1 : 0.1 * Math.log(rope.yarn.factor) + 1;
  for (let start = 0; start < heads.length; start += headDim) {
    const position = Math.floor(start / (count * headDim));
    for (let pair = 0; pair < pairs; pair++) {
      const angle = position * (frequencies[pair] as number);
      const [cosine, sine] = [Math.cos(angle) * concentration, Math.sin(angle) * concentration];
      const first = heads[start + pair] as number;
      const second = heads[start + pairs + pair] as number;
      heads[start + pair] = first * cosine - second * sine;
      heads[start + pairs + pair] = second * cosine + first * sine;
    }
  }
}

/** Rotations per position, in radians, f64 [headDim / 2]. */
function inverseFrequencies({ headDim, rope: { theta, yarn } }: Pick<GptOssConfig, 'headDim' | 'rope'>): Float64Array {
  const plain = Float64Array.from({ length: headDim / 2 }, (_, pair) => theta ** ((-2 * pair) / headDim));
  if (yarn === null) return plain;
  // The pair whose wave makes this many turns over the original context.
  const pairAt = (turns: number): number =>
    (headDim * Math.log(yarn.originalContextLength / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const round = (value: number, to: (value: number) => number): number => (yarn.truncate ? to(value) : value);
  const low = Math.max(round(pairAt(yarn.betaFast), Math.floor), 0);
  const high = Math.min(round(pairAt(yarn.betaSlow), Math.ceil), headDim - 1);
  return plain.map((frequency, pair) => {
    // 0 where the wave is short and stays as trained, 1 where it is long and stretched by the factor.
    const stretched = Math.min(Math.max((pair - low) / Math.max(high - low, 0.001), 0), 1);
    return (frequency / yarn.factor) * stretched + frequency * (1 - stretched);
  });
}
