/**
 * What a step of decoding reads at the least: each weight that it needs once, and the keys and values that it sees.
 */

import type { GptOssConfig } from '@switchyard/models';

/** Bytes of MXFP4 for a weight: four bits, and a scale of eight bits for each 32. */
const MXFP4_BYTES = 17 / 32;
const BF16_BYTES = 2;

/** What is decoded. */
export interface DecodedStep {
  readonly sequences: number;
  /** Tokens of each sequence. */
  readonly context: number;
  /** Bytes of a key's or value's element. */
  readonly kvElementBytes: number;
}

/**
 * Bytes of a step, matrices in bf16 and experts in MXFP4. Experts count as where every row chooses K of E at random, all
 * alike: E * (1 - (1 - K / E)^sequences) of them are read in each layer.
 */
export function leastStepBytes(config: GptOssConfig, { sequences, context, kvElementBytes }: DecodedStep): number {
  const { hiddenSize, intermediateSize, experts, expertsPerToken, layers, layerTypes, slidingWindow } = config;
  const { attentionHeads, keyValueHeads, headDim, vocabularySize } = config;
  const attended = attentionHeads * headDim;
  const kv = keyValueHeads * headDim;
  const matrices = hiddenSize * (attended + 2 * kv) + attended * hiddenSize + experts * hiddenSize;
  const used = experts * (1 - (1 - expertsPerToken / experts) ** sequences);
  const expertBytes = 3 * hiddenSize * intermediateSize * MXFP4_BYTES;
  const seen = layerTypes.reduce(
    (sum, type) => sum + (type === 'sliding' ? Math.min(context, slidingWindow) : context),
    0,
  );
  return (
    layers * (BF16_BYTES * matrices + used * expertBytes) +
    BF16_BYTES * vocabularySize * hiddenSize +
    sequences * seen * 2 * kv * kvElementBytes
  );
}
