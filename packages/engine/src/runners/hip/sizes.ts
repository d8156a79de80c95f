/**
 * Sizes that follow from a model's configuration, for planning memory without a device or its libraries.
 */

import type { GptOssConfig } from '@switchyard/models';
import { MOST_ROWS, STEP_BYTES } from './step-block.ts';

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
  tile: ExpertTile,
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
export function workspaceSizes(config: GptOssConfig, planBytes: number) {
  const { hiddenSize, intermediateSize, layers, experts, expertsPerToken, attentionHeads, headDim } = config;
  const slots = MOST_ROWS * expertsPerToken;
  return {
    step: STEP_BYTES,
    residual: 4 * MOST_ROWS * hiddenSize,
    queries: 4 * MOST_ROWS * attentionHeads * headDim,
    attended: 4 * MOST_ROWS * attentionHeads * headDim,
    partials: 4 * MOST_CHUNKS * partialFloats(config),
    normed: 4 * MOST_ROWS * hiddenSize,
    routerLogits: 4 * MOST_ROWS * experts,
    routing: 2 * layers * routingStride(config, MOST_ROWS),
    expertOffsets: 4 * (experts + 1),
    sortedSlots: 4 * slots,
    planWorkspace: planBytes,
    list: 4 * (4 + 4 * mostItems(config, MOST_ROWS, LISTED_TILE)),
    activated: 4 * slots * intermediateSize,
    expertOutput: 4 * slots * hiddenSize,
    logits: 4 * HEAD_ROWS * config.vocabularySize,
    tokens: 4 * HEAD_ROWS,
  };
}
