import type { GptOssConfig } from '@switchyard/models';
import { UnsupportedWeightsError } from './errors.ts';

/** What the kernels divide by without a remainder: loads of 16 bytes, blocks of MXFP4, rows of a block of threads. */
const DIVISORS: readonly (readonly [field: keyof GptOssConfig, divisor: number])[] = [
  ['hiddenSize', 32],
  ['intermediateSize', 32],
  ['vocabularySize', 8],
  ['experts', 4],
];
/** Elements of a head (kernels/hip/attention.hip). */
const HEAD_DIM = 64;
/** Query heads that share a KV head: threads of a block have as many of their elements each, and it has room for them. */
const MOST_GROUP = 16;
/** Sums of the weights of so many tokens are exact in f64 (kernels/hip/draw.hip). */
const MOST_TOKENS = 2 ** 18 - 1;
/** Threads of a block, one an expert (kernels/hip/expert_list.hip). */
const MOST_EXPERTS = 1024;

/**
 * Throws where the kernels are not written for a shape.
 *
 * @throws UnsupportedWeightsError
 */
export function checkShape(config: GptOssConfig): void {
  for (const [field, divisor] of DIVISORS) {
    const found = config[field];
    if (typeof found === 'number' && found % divisor !== 0) {
      throw new UnsupportedWeightsError(`${field} ${found}`, `a multiple of ${divisor}`);
    }
  }
  const group = config.attentionHeads / config.keyValueHeads;
  if (!(group <= 3 || (group % 4 === 0 && group <= MOST_GROUP))) {
    throw new UnsupportedWeightsError(`${group} query heads a KV head`, `at most 3, or 4, 8, 12 or ${MOST_GROUP}`);
  }
  if (config.headDim !== HEAD_DIM) throw new UnsupportedWeightsError(`headDim ${config.headDim}`, `${HEAD_DIM}`);
  if (config.vocabularySize > MOST_TOKENS) {
    throw new UnsupportedWeightsError(`vocabularySize ${config.vocabularySize}`, `at most ${MOST_TOKENS}`);
  }
  if (config.experts > MOST_EXPERTS) {
    throw new UnsupportedWeightsError(`${config.experts} experts`, `at most ${MOST_EXPERTS}`);
  }
}
