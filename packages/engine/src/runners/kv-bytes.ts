/**
 * The memory of KV caches in blocks, from a model's configuration alone.
 */

import type { GptOssConfig } from '@switchyard/models';
import { BLOCK_POSITIONS, blocksOfSequence, type KvKinds } from './kv-sequences.ts';

/**
 * How keys and values are kept: as they are, or as integers of 16 bits, of which every KV_SCALED_ELEMENTS of a head share a
 * bf16 scale.
 */
export type KvType = 'f32' | 'int16';

/** Elements of a head that share a scale, where keys and values are kept as integers. */
export const KV_SCALED_ELEMENTS = 16;

/** What decides which KV blocks a sequence of a model needs. */
export function kvKinds({ layerTypes, slidingWindow }: GptOssConfig): KvKinds {
  const windowLayers = layerTypes.filter((type) => type === 'sliding').length;
  return { fullLayers: layerTypes.length - windowLayers, windowLayers, window: slidingWindow };
}

/** Layers of a kind share KV blocks, and blocks of both kinds have one size: room for the kind that has more. */
export function kvLayers(config: GptOssConfig): number {
  const { fullLayers, windowLayers } = kvKinds(config);
  return Math.max(fullLayers, windowLayers);
}

/** Bytes of an element, its part of a scale included. */
export function kvElementBytes(kv: KvType): number {
  return kv === 'f32' ? 4 : 2 + 2 / KV_SCALED_ELEMENTS;
}

/** Bytes of a KV block. */
export function kvBlockBytes(config: GptOssConfig, kv: KvType): number {
  return kvLayers(config) * 2 * config.keyValueHeads * BLOCK_POSITIONS * config.headDim * kvElementBytes(kv);
}

/** KV bytes of one sequence by its tokens. */
export function kvBytesOf(config: GptOssConfig, kv: KvType): (tokens: number) => number {
  const [kinds, bytes] = [kvKinds(config), kvBlockBytes(config, kv)];
  return (tokens) => blocksOfSequence(kinds, tokens) * bytes;
}

/** KV bytes of one token while no window limits them. */
export function kvBytesPerToken(config: GptOssConfig, kv: KvType): number {
  const kinds = kvKinds(config);
  const tables = (kinds.fullLayers > 0 ? 1 : 0) + (kinds.windowLayers > 0 ? 1 : 0);
  return (tables * kvBlockBytes(config, kv)) / BLOCK_POSITIONS;
}
