import type { ExpertTensor, GptOssConfig, GptOssWeights, Tensor } from '@switchyard/models';
import { UnsupportedCheckpointError } from './errors.ts';

/** What the kernels divide by without a remainder: vectors of 16, pairs of them, blocks of MXFP4. */
const DIVISORS: readonly (readonly [what: string, size: (config: GptOssConfig) => number, divisor: number])[] = [
  ['hiddenSize', ({ hiddenSize }) => hiddenSize, 32],
  ['intermediateSize', ({ intermediateSize }) => intermediateSize, 32],
  ['attentionHeads * headDim', ({ attentionHeads, headDim }) => attentionHeads * headDim, 32],
  ['headDim', ({ headDim }) => headDim, 16],
];
/** Room of a row's chosen experts (kernels/native/experts.c). */
const MOST_TOP_K = 64;

/**
 * Throws where the kernels are not written for a shape.
 *
 * @throws UnsupportedCheckpointError
 */
export function checkShape(config: GptOssConfig): void {
  for (const [what, size, divisor] of DIVISORS) {
    const found = size(config);
    if (found % divisor !== 0) throw new UnsupportedCheckpointError(`${what} ${found}`, `a multiple of ${divisor}`);
  }
  if (config.expertsPerToken > MOST_TOP_K) {
    throw new UnsupportedCheckpointError(`${config.expertsPerToken} experts a token`, `at most ${MOST_TOP_K}`);
  }
}

/**
 * Throws where matrices are in other forms than the published checkpoints have.
 *
 * @throws UnsupportedCheckpointError
 */
export function checkWeights({ embedding, lmHead, layers }: GptOssWeights): void {
  for (const tensor of [embedding, lmHead]) checkMatrix(tensor);
  for (const { query, key, value, output, router, gateUp, down } of layers) {
    for (const { weight } of [query, key, value, output, router]) checkMatrix(weight);
    for (const { weight } of [gateUp, down]) checkExperts(weight);
  }
}

function checkMatrix({ name, dtype }: Tensor): void {
  if (dtype !== 'BF16') throw new UnsupportedCheckpointError(`${name} in ${dtype}`, 'matrices in BF16');
}

function checkExperts(weight: ExpertTensor): void {
  if (weight.kind === 'mxfp4') return;
  throw new UnsupportedCheckpointError(`${weight.tensor.name} in ${weight.tensor.dtype}`, 'experts in MXFP4');
}
