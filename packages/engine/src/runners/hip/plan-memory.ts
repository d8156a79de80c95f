/**
 * The memory of the GPU runner, from a checkpoint's configuration alone. Opens no device.
 */

import type { GptOssConfig } from '@switchyard/models';
import { kvBlockBytes, kvBytesOf, kvBytesPerToken } from '../kv-bytes.ts';
import { BLOCK_POSITIONS } from '../kv-sequences.ts';
import type { LoadPlan, WeightKind } from '../load-plan.ts';
import type { Activations } from '../runner-module.ts';
import { kvTypeOf } from './sizes.ts';
import { MOST_ROWS } from './step-block.ts';
import { weightBytesOf } from './weight-layout.ts';
import { workspaceBytes } from './workspace.ts';

/** A smaller KV cache than for this many tokens is not worth loading for. */
const SMALLEST_CONTEXT = 4096;
/** Blocks beside the budget: what the windows of a pass hold until it ends, and copies of last blocks. */
export const RESERVED_BLOCKS = 2 * (MOST_ROWS / BLOCK_POSITIONS);
/** Page-locked pieces of a load are host memory; on the device only what stays is allocated. */
const LOADING_BYTES = 0;
/** More than the scratch memory of any dispatch plan of MOST_ROWS rows. */
const PLAN_BYTES = 2 ** 20;

/** Bytes of the rotary tables: cosines and sines of all positions of the context. */
export function rotaryBytes({ contextLength, headDim }: Pick<GptOssConfig, 'contextLength' | 'headDim'>): number {
  return 2 * 4 * contextLength * (headDim / 2);
}

/** What the runner will take on its device. */
export function planHipMemory(
  config: GptOssConfig,
  { activations = 'bf16' }: { readonly activations?: Activations } = {},
): LoadPlan {
  const kv = kvTypeOf(activations);
  const weights = Object.entries(weightBytesOf(config)).map(([kind, bytes]) => ({ kind: kind as WeightKind, bytes }));
  return {
    runner: 'hip',
    precision: 'exact',
    weights,
    weightBytes: weights.reduce((sum, { bytes }) => sum + bytes, 0),
    loadingBytes: LOADING_BYTES,
    workspaceBytes:
      workspaceBytes(config, activations, PLAN_BYTES) +
      rotaryBytes(config) +
      RESERVED_BLOCKS * kvBlockBytes(config, kv),
    kvBytesPerToken: kvBytesPerToken(config, kv),
    smallestKvBytes: kvBytesOf(config, kv)(Math.min(SMALLEST_CONTEXT, config.contextLength)),
  };
}
