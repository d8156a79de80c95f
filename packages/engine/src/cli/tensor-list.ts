/**
 * The tensors of a checkpoint in the order a token meets them.
 */

import type { GptOssWeights, Tensor } from '@switchyard/models';

/** A tensor without its bytes. */
export interface TensorFacts {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
}

const isTensor = (value: object): value is Tensor => 'dtype' in value && 'shape' in value && 'name' in value;

/** Every tensor once, found by walking the roles; an expert tensor counts with each of its parts. */
export function listTensors(weights: GptOssWeights): TensorFacts[] {
  const found = new Map<string, TensorFacts>();
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    if (isTensor(value)) found.set(value.name, { name: value.name, dtype: value.dtype, shape: value.shape });
    else for (const part of Object.values(value)) visit(part);
  };
  visit([weights.embedding, weights.layers, weights.finalNorm, weights.lmHead]);
  return [...found.values()];
}
