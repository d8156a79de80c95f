/**
 * The memory of the native runner, from a checkpoint's configuration alone. Loads no library.
 */

import type { GptOssConfig } from '@switchyard/models';
import { kvBlockBytes, kvBytesOf, kvBytesPerToken } from '../kv-bytes.ts';
import { BLOCK_POSITIONS } from '../kv-sequences.ts';
import type { LoadPlan, WeightKind } from '../load-plan.ts';
import { MOST_ROWS } from './plan-passes.ts';

/** A smaller KV cache than for this many tokens is not worth loading for. */
const SMALLEST_CONTEXT = 4096;
/** The most new tokens of a step whose blocks find room beside the budget: windows hold theirs until it ends. */
const MOST_STEP_TOKENS = 8192;
/** Blocks beside the budget. They take memory only while they are used. */
export const RESERVED_BLOCKS = 2 * (MOST_STEP_TOKENS / BLOCK_POSITIONS);
const F32_BYTES = 4;
/** Rows of a packed tile that may be empty, of each expert. */
const TILE_ROWS = 12;

/** What the native runner will take. Weights are mapped from their files: they count, but other processes may share them. */
export function planNativeMemory(config: GptOssConfig): LoadPlan {
  const { hiddenSize, intermediateSize, experts, layers, attentionHeads, keyValueHeads, headDim } = config;
  const { vocabularySize, expertsPerToken } = config;
  const qkvRows = (attentionHeads + 2 * keyValueHeads) * headDim;
  const attendedWidth = attentionHeads * headDim;
  const expertWeights = (3 * hiddenSize * intermediateSize * 17) / 32;
  const bytes: Readonly<Record<WeightKind, number>> = {
    // Rows are read as tokens come.
    embedding: 0,
    attention:
      layers * (2 * hiddenSize * (qkvRows + attendedWidth) + F32_BYTES * (qkvRows + attentionHeads + hiddenSize)),
    router: layers * experts * (2 * hiddenSize + F32_BYTES),
    experts: layers * experts * (expertWeights + F32_BYTES * (2 * intermediateSize + hiddenSize)),
    norms: F32_BYTES * hiddenSize * (2 * layers + 1),
    head: 2 * vocabularySize * hiddenSize,
  };
  const weights = Object.entries(bytes).map(([kind, bytes]) => ({ kind: kind as WeightKind, bytes }));
  const slots = MOST_ROWS * expertsPerToken;
  const widest = Math.max(hiddenSize, intermediateSize, attendedWidth);
  return {
    runner: 'native',
    precision: 'exact',
    weights,
    weightBytes: weights.reduce((sum, { bytes }) => sum + bytes, 0),
    loadingBytes: 0,
    workspaceBytes:
      F32_BYTES *
      (MOST_ROWS * (2 * hiddenSize + qkvRows + attendedWidth + experts) +
        (slots + experts * TILE_ROWS) * widest +
        slots * (3 * intermediateSize + hiddenSize) +
        2 * vocabularySize),
    kvBytesPerToken: kvBytesPerToken(config, 'f32'),
    smallestKvBytes: kvBytesOf(config, 'f32')(Math.min(SMALLEST_CONTEXT, config.contextLength)),
  };
}

/** KV blocks for a budget. */
export function kvBlocksFor(config: GptOssConfig, kvCacheBytes: number): number {
  return Math.floor(kvCacheBytes / kvBlockBytes(config, 'f32')) + RESERVED_BLOCKS;
}
