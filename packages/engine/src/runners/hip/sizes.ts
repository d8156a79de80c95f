/**
 * Sizes that follow from a model's configuration, for planning memory without a device or its libraries.
 */

import type { KernelTarget } from '@switchyard/gpu';
import type { GptOssConfig } from '@switchyard/models';
import type { KvType } from '../kv-bytes.ts';
import type { Activations } from '../runner-module.ts';
import { MOST_ROWS, STEP_BYTES } from './step-block.ts';

/** How keys and values are kept: in 16 bits a router's choice between experts that are as good may come out otherwise. */
export function kvTypeOf(activations: Activations): KvType {
  return activations === 'exact' ? 'f32' : 'int16';
}

/** The most rows of a pass whose rows are computed as vectors. */
export const MOST_VECTOR_ROWS = 512;
/** The most rows of a pass by matrix tiles whose activations are split: in two terms these take the room of MOST_ROWS in one. */
export const MOST_SPLIT_ROWS = MOST_ROWS / 2;
/** Of bf16 that a number of a row is read as by matrix tiles: together they have 8 bits of it, 16, or all 24. */
export type Terms = 1 | 2 | 3;
/** Rows, and slots of an expert, that a block takes at once by matrix tiles: where they are split, an expert has fewer. */
export const TILE_TOKENS: Readonly<Record<Terms, number>> = { 1: 128, 2: 64, 3: 64 };

/**
 * Slots of an expert that a block of row groups takes at once where a pass has up to FEW_SLOTS_OF_EXPERT for each on average, and
 * where it has more (expert-tile-kernels.ts). By trying on an H200.
 */
export const FEW_TILE_SLOTS = 32;
export const MANY_TILE_SLOTS = 128;
export const FEW_SLOTS_OF_EXPERT = 40;

/**
 * Terms of bf16 that activations are split into: two, and three where they are exact and vectors are read in two as well, on
 * NVIDIA, so that the errors of both do not add up. Normed rows have as many for the gate and the experts, whatever is read of
 * them.
 */
export function splitTermsOf(kv: KvType, vendor: KernelTarget['vendor']): Exclude<Terms, 1> {
  return kv === 'f32' && vendor === 'nvidia' ? 3 : 2;
}

/** Entries of up to so many tokens are split by default: they wait for weights, not for products. */
export const MOST_SPLIT_TOKENS = 512;

/** Keys of a chunk of attention. Rows that see more are computed in several, and their partial results merged. */
export const ATTENTION_CHUNK = 128;
/** Rows of more chunks than this have them in runs of neighbouring ones, which leave one partial result each. */
export const MOST_KEY_RUNS = 64;
/** The most partial results that the rows of a pass leave together in a layer without a window. */
export const MOST_PARTIALS = 8192;
/** The most rows whose logits are computed at once. */
export const HEAD_ROWS = 64;
/**
 * Places of chosen tokens: those of passes of vectors, and those of each kind of passes by matrix tiles in turns, which a step
 * may write before its vectors have read what the step before it has chosen.
 */
export const TOKEN_PLACES = 5 * HEAD_ROWS;
/** Bytes of what a pass has chosen, up to what its routers have: i32 [TOKEN_PLACES]. */
export const CHOSEN_TOKEN_BYTES = 4 * TOKEN_PLACES;
/** Blocks that share the search for a row's largest logit. */
export const LARGEST_BLOCKS = 32;

/** The most partial results of a row at a position: a layer with a window may have as many as one without. */
export function partialsAt(position: number): number {
  return Math.min(Math.ceil((position + 1) / ATTENTION_CHUNK), MOST_KEY_RUNS);
}

/** Floats of one partial result: of each head, its values, the largest logit and the sum. */
function partialFloats({ attentionHeads, headDim }: GptOssConfig): number {
  return attentionHeads * (headDim + 2);
}

/** The most rows whose experts are computed slot by slot. */
export const MOST_ROWS_BY_SLOT = 4;
/** So many experts for each slot, at least, and most slots have one of their own. */
const EXPERTS_PER_SLOT = 4;

/**
 * Whether a step's experts are computed slot (token * K + k) by slot: then nothing has to be sorted, but an expert's weights are
 * read for each of its slots.
 */
export function isBySlot(
  { experts, expertsPerToken }: Pick<GptOssConfig, 'experts' | 'expertsPerToken'>,
  rows: number,
): boolean {
  if (rows === 1) return true;
  return rows <= MOST_ROWS_BY_SLOT && rows * expertsPerToken * EXPERTS_PER_SLOT <= experts;
}

/**
 * The most items that the listed slots of `rows` rows make: each expert's in tiles of `tile`, the last of which may not be
 * full.
 */
export function mostItems(
  { experts, expertsPerToken }: Pick<GptOssConfig, 'experts' | 'expertsPerToken'>,
  rows: number,
  tile: number,
): number {
  const slots = rows * expertsPerToken;
  return Math.min(experts, slots) + Math.floor(slots / tile);
}

/**
 * Bytes from one layer's ids (i32 [rows, K]) to the next one's in a launch for `rows` rows. Behind those of all layers come
 * the weights (f32 [rows, K]), as far apart: what a pass has chosen lies together.
 */
export function routingStride({ expertsPerToken }: Pick<GptOssConfig, 'expertsPerToken'>, rows: number): number {
  return Math.ceil((4 * rows * expertsPerToken) / 16) * 16;
}

/** Bytes of all that passes choose, tokens and then experts: what leaves the device is copied at once. */
export function chosenBytes(config: Pick<GptOssConfig, 'layers' | 'expertsPerToken'>): number {
  return CHOSEN_TOKEN_BYTES + 2 * config.layers * routingStride(config, MOST_ROWS);
}

/** Numbers of a row of so many columns as row groups read it (kernels/hip/parts/arranged_columns.hip). */
export function arrangedColumns(columns: number): number {
  return 128 * Math.ceil(columns / 128);
}

/** The most bytes that a vector of so many columns takes as the experts multiply it (kernels/hip/parts/mxfp4_group.hip). */
export function vectorBytes(columns: number): number {
  return 512 * Math.ceil(columns / 128);
}

/** Bytes of each part of a pass's memory on the device. */
export function workspaceSizes(config: GptOssConfig, activations: Activations, planBytes: number) {
  const { hiddenSize, intermediateSize, experts, expertsPerToken, attentionHeads, keyValueHeads, headDim } = config;
  const slots = MOST_ROWS * expertsPerToken;
  const attendedWidth = attentionHeads * headDim;
  const items = Math.max(
    mostItems(config, MOST_ROWS, TILE_TOKENS[1]),
    mostItems(config, MOST_SPLIT_ROWS, TILE_TOKENS[2]),
    mostItems(config, Math.floor((FEW_SLOTS_OF_EXPERT * experts) / expertsPerToken), FEW_TILE_SLOTS),
  );
  return {
    step: STEP_BYTES,
    residual: 4 * MOST_ROWS * hiddenSize,
    queries: 4 * MOST_VECTOR_ROWS * attendedWidth,
    attended: 4 * MOST_VECTOR_ROWS * attendedWidth,
    partials: 4 * MOST_PARTIALS * partialFloats(config),
    arrivals: 4 * MOST_VECTOR_ROWS * keyValueHeads,
    choiceArrivals: 4 * HEAD_ROWS,
    found: 8 * HEAD_ROWS * LARGEST_BLOCKS,
    terms: 4 * MOST_VECTOR_ROWS * hiddenSize,
    squares: 4 * MOST_VECTOR_ROWS,
    normed: MOST_VECTOR_ROWS * vectorBytes(hiddenSize),
    routerLogits: 4 * MOST_ROWS * experts,
    expertOffsets: 4 * (experts + 1),
    sortedSlots: 4 * slots,
    planWorkspace: planBytes,
    list: 4 * (4 + 4 * items),
    activated: MOST_VECTOR_ROWS * expertsPerToken * vectorBytes(intermediateSize),
    expertOutput: 4 * slots * hiddenSize,
    logits: 4 * HEAD_ROWS * config.vocabularySize,
    chosen: chosenBytes(config),
    ...tileSizes(config, activations),
  };
}

/** Bytes of what passes by matrix tiles have beside that: their activations, in bf16. */
function tileSizes(
  { hiddenSize, intermediateSize, expertsPerToken, attentionHeads, headDim }: GptOssConfig,
  activations: Activations,
) {
  const ofRounded = activations === 'exact' ? 0 : MOST_ROWS;
  // On whatever device it will be.
  const splitTerms = splitTermsOf(kvTypeOf(activations), 'nvidia');
  const terms = Math.max(ofRounded, splitTerms * MOST_SPLIT_ROWS);
  return {
    normedBf16: 2 * Math.max(ofRounded, MOST_SPLIT_ROWS) * splitTerms * hiddenSize,
    arrangedBf16: 2 * terms * arrangedColumns(hiddenSize),
    queriesBf16: 2 * terms * attentionHeads * headDim,
    attendedBf16: 2 * terms * attentionHeads * headDim,
    activatedBf16: 2 * terms * expertsPerToken * arrangedColumns(intermediateSize),
  };
}
