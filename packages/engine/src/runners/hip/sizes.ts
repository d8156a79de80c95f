/**
 * Sizes that follow from a model's configuration, for planning memory without a device or its libraries.
 */

import type { GptOssConfig } from '@switchyard/models';
import type { Activations } from '../runner-module.ts';
import type { KvKinds } from './kv-sequences.ts';
import { MOST_ROWS, STEP_BYTES } from './step-block.ts';

/** How keys and values are kept. */
export type KvType = 'f32' | 'bf16';

/** The most rows of a pass whose rows are computed as vectors. */
export const MOST_VECTOR_ROWS = 512;
/** Rows, and slots of an expert, that a block takes at once by matrix tiles (kernels/hip/parts/tile_products.hip). */
export const TILE_ROWS = 128;

/** Terms of bf16 that the gate projection reads of a normed row by matrix tiles. */
export const NORMED_TERMS = 2;

/** Keys of a chunk of attention. Rows that see more are computed in several, and their partial results merged. */
export const ATTENTION_CHUNK = 128;
/** The most chunks of keys that the rows of a pass have together in a layer without a window. */
export const MOST_CHUNKS = 8192;
/** The most rows whose logits are computed at once. */
export const HEAD_ROWS = 64;

/** Chunks of keys that a row at a position has in a layer without a window. */
export function chunksAt(position: number): number {
  return Math.ceil((position + 1) / ATTENTION_CHUNK);
}

/** Floats of the partial result of one chunk: of each head, its values, the largest logit and the sum. */
function partialFloats({ attentionHeads, headDim }: GptOssConfig): number {
  return attentionHeads * (headDim + 2);
}

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

/** Slots of one expert that a block works on where they are listed by expert. */
export const LISTED_TILE = 4;
/**
 * Slots (token * K + k) of one expert that a block works on at once: with one, no slot has to be sorted, and weights are
 * read once a slot; with several, once a tile. All have the same bits in each.
 */
export const EXPERT_TILES = [1, LISTED_TILE] as const;
export type ExpertTile = (typeof EXPERT_TILES)[number];

/** Up to this many rows, most slots have an expert of their own. */
const MOST_ROWS_BY_SLOT = 4;

/** The tile for a step. */
export function expertTile(rows: number): ExpertTile {
  return rows <= MOST_ROWS_BY_SLOT ? 1 : LISTED_TILE;
}

/** The most items that the slots of `rows` rows make: each expert's slots in tiles, the last of which may not be full. */
export function mostItems(
  { experts, expertsPerToken }: Pick<GptOssConfig, 'experts' | 'expertsPerToken'>,
  rows: number,
  tile: ExpertTile | typeof TILE_ROWS,
): number {
  const slots = rows * expertsPerToken;
  return tile === 1 ? slots : Math.min(experts, slots) + Math.floor(slots / tile);
}

/**
 * Bytes from one layer's ids (i32 [rows, K]) to the next one's in a launch for `rows` rows. Behind those of all layers come
 * the weights (f32 [rows, K]), as far apart: what a pass has chosen lies together.
 */
export function routingStride({ expertsPerToken }: Pick<GptOssConfig, 'expertsPerToken'>, rows: number): number {
  return Math.ceil((4 * rows * expertsPerToken) / 16) * 16;
}

/** Bytes of each part of a pass's memory on the device. */
export function workspaceSizes(config: GptOssConfig, activations: Activations, planBytes: number) {
  const { hiddenSize, intermediateSize, layers, experts, expertsPerToken, attentionHeads, headDim } = config;
  const slots = MOST_ROWS * expertsPerToken;
  const attendedWidth = attentionHeads * headDim;
  return {
    step: STEP_BYTES,
    residual: 4 * MOST_ROWS * hiddenSize,
    queries: 4 * MOST_VECTOR_ROWS * attendedWidth,
    attended: 4 * MOST_VECTOR_ROWS * attendedWidth,
    partials: 4 * MOST_CHUNKS * partialFloats(config),
    normed: 4 * MOST_VECTOR_ROWS * hiddenSize,
    routerLogits: 4 * MOST_ROWS * experts,
    routing: 2 * layers * routingStride(config, MOST_ROWS),
    expertOffsets: 4 * (experts + 1),
    sortedSlots: 4 * slots,
    planWorkspace: planBytes,
    list:
      4 * (4 + 4 * Math.max(mostItems(config, MOST_VECTOR_ROWS, LISTED_TILE), mostItems(config, MOST_ROWS, TILE_ROWS))),
    activated: 4 * MOST_VECTOR_ROWS * expertsPerToken * intermediateSize,
    expertOutput: 4 * slots * hiddenSize,
    logits: 4 * HEAD_ROWS * config.vocabularySize,
    tokens: 4 * HEAD_ROWS,
    ...(activations === 'exact' ? NO_TILES : tileSizes(config)),
  };
}

/** Bytes of what passes by matrix tiles have beside that: their activations, in bf16. */
function tileSizes({ hiddenSize, intermediateSize, expertsPerToken, attentionHeads, headDim }: GptOssConfig) {
  return {
    normedBf16: 2 * MOST_ROWS * NORMED_TERMS * hiddenSize,
    queriesBf16: 2 * MOST_ROWS * attentionHeads * headDim,
    attendedBf16: 2 * MOST_ROWS * attentionHeads * headDim,
    activatedBf16: 2 * MOST_ROWS * expertsPerToken * intermediateSize,
  };
}

const NO_TILES: ReturnType<typeof tileSizes> = { normedBf16: 0, queriesBf16: 0, attendedBf16: 0, activatedBf16: 0 };
