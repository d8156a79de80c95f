/**
 * The kernels of passes by matrix tiles: everything between the embedding and the head where many rows are computed at once.
 */

import { MATRIX_TILE_PARTS } from '@switchyard/gpu';
import type { KernelTarget } from '@switchyard/gpu';
import { type KernelContext, type KernelForm, STEP, kernelForm, kvParts, pointer, u32 } from './kernel-form.ts';
import { matrixRows } from './dense-kernels.ts';
import { TILE_TOKENS, type Terms, splitTermsOf } from './sizes.ts';

/** Tiles of 16 queries of one head that a block of attention has, where its KV head has so few query heads. */
const QUERY_TILES = 8;
/** Keys that a block of attention takes at once (kernels/hip/attention_tiles.hip). */
const TURN_KEYS = 64;
/** Rows of a matrix tile. */
const TILE_SIZE = 16;
/** Rows of a matrix that a block multiplies with, and bytes of a row of a step (kernels/hip/parts/tile_products.hip). */
export const BLOCK_ROWS = 128;
export const STEP_ROW_BYTES = 64;
/** A block of two groups of four waves, and its rows. */
const GROUP_THREADS = 256;
const GROUP_TOKENS = 256;
/** Of the gate, whose few blocks wait for what they copy, and for the product before, rather than for each other. */
const GATE_STAGES = 8;
const GATE_TOKENS = 32;
/** Of a block that works on a whole row. */
const ROW_THREADS = 256;

const NORM_ARGUMENTS = [
  STEP,
  pointer('gain', 'f32 [hidden]'),
  pointer('residual', 'f32 [rows, hidden]'),
  pointer('output', 'bf16 [rows, terms * hidden], written'),
  pointer(
    'arranged',
    'the same in the order and terms of row groups (expert-tile-kernels.ts), written; none where nobody reads it',
  ),
] as const;

const QKV_ARGUMENTS = [
  STEP,
  pointer('weight', 'bf16 [(heads + 2 * KV heads) * head size, hidden]'),
  pointer('bias', 'f32, one for each of its rows'),
  pointer('normed', 'bf16 [rows, terms * hidden]'),
  pointer('cosines', 'f32 [positions, head size / 2]'),
  pointer('sines', 'f32 [positions, head size / 2]'),
  pointer('queries', 'bf16 [rows, terms * heads * head size], rotated, written'),
  pointer('cache', 'the KV blocks, written'),
  u32('layer', 'the layer among those of its kind'),
  u32('isWindow', '1 where the layer has a window'),
] as const;

const ATTEND_ARGUMENTS = [
  STEP,
  pointer('queries', 'bf16 [rows, terms * heads * head size], rotated'),
  pointer('cache', 'the KV blocks'),
  pointer('sinks', 'f32 [heads]'),
  pointer('output', 'bf16 [rows, terms * heads * head size], written'),
  u32('runs', 'runs of the step block'),
  u32('layer', 'the layer among those of its kind'),
  u32('isWindow', '1 where the layer has a window'),
] as const;

const ATTENTION_OUTPUT_ARGUMENTS = [
  STEP,
  pointer('weight', 'bf16 [hidden, heads * head size]'),
  pointer('bias', 'f32 [hidden]'),
  pointer('attended', 'bf16 [rows, terms * heads * head size]'),
  pointer('residual', 'f32 [rows, hidden], added to'),
] as const;

const GATE_ARGUMENTS = [
  STEP,
  pointer('weight', 'bf16 [experts, hidden]'),
  pointer('bias', 'f32 [experts]'),
  pointer('normed', 'bf16 [rows, split terms * hidden]'),
  pointer('logits', 'f32 [rows, experts], written'),
] as const;

/** What every pass by matrix tiles needs. */
export interface CommonTileForms {
  readonly gate: KernelForm<typeof GATE_ARGUMENTS>;
}

/** What passes need whose rows come in as many terms. */
export interface TermTileForms {
  readonly norm: KernelForm<typeof NORM_ARGUMENTS>;
  /** The norm before the gate, which reads split rows whatever the terms. */
  readonly expertNorm: KernelForm<typeof NORM_ARGUMENTS>;
  readonly qkv: KernelForm<typeof QKV_ARGUMENTS>;
  readonly attentionOutput: KernelForm<typeof ATTENTION_OUTPUT_ARGUMENTS>;
  readonly attend: KernelForm<typeof ATTEND_ARGUMENTS>;
}

/** Kernels that are products of rows with a matrix, block by block. */
export type TileProduct = 'qkv' | 'attentionOutput' | 'gate';

/**
 * Whether a GPU has matrix instructions for bf16 that the tiles have a form for. Others would multiply tiles lane by lane,
 * which is no faster than what they do with vectors, and rounded.
 */
export function hasMatrixUnits({ vendor, architecture }: KernelTarget): boolean {
  if (vendor === 'nvidia') return Number(/^sm_(\d+)/.exec(architecture)?.[1] ?? 0) >= 80;
  return /^gfx(?:90a|942|950|11\d\d|120\d)$/.test(architecture);
}

/** Rows of a sequence that a block of attention takes at once. */
export function rowsOfRun({ config }: KernelContext): number {
  const group = config.attentionHeads / config.keyValueHeads;
  return TILE_SIZE * Math.max(1, Math.floor(QUERY_TILES / group));
}

export function commonTileForms(context: KernelContext): CommonTileForms {
  return {
    gate: kernelForm(context, {
      ...productForm(context, splitTermsOf(context.kv, context.target.vendor), 'gate'),
      name: 'gate_tiles',
      symbol: 'project_gate_tiles',
      arguments: GATE_ARGUMENTS,
    }),
  };
}

/** The forms of rows in as many terms. */
export function termTileForms(context: KernelContext, terms: Terms): TermTileForms {
  const product = productForm(context, terms, 'rows');
  return {
    norm: normForm(context, terms, 0),
    expertNorm: normForm(context, splitTermsOf(context.kv, context.target.vendor), isInGroups(context) ? terms : 0),
    qkv: kernelForm(context, {
      ...product,
      name: 'qkv_tiles',
      parts: [...kvParts(context), ...product.parts, 'store_terms'],
      symbol: 'project_qkv_tiles',
      arguments: QKV_ARGUMENTS,
    }),
    attentionOutput: kernelForm(context, {
      ...product,
      name: 'attention_output_tiles',
      symbol: 'project_attention_tiles',
      arguments: ATTENTION_OUTPUT_ARGUMENTS,
    }),
    attend: kernelForm(context, {
      name: 'attention_tiles',
      sharedParts: MATRIX_TILE_PARTS,
      parts: [...kvParts(context), 'store_terms', 'dynamic_memory'],
      symbol: 'attend_tiles',
      arguments: ATTEND_ARGUMENTS,
      threadsPerBlock: attentionThreads(context, terms),
      sharedBytes: attentionBytes(context, terms),
      defines: { KERNEL_QUERIES: rowsOfRun(context), KERNEL_TERMS: terms },
    }),
  };
}

/** What products by matrix tiles have in common. */
export function productForm(context: KernelContext, terms: Terms, items: TileItems) {
  const inGroups = items !== 'gate' && isInGroups(context);
  const tokens = tileTokens(context, terms, items);
  const stages = tileStages(context, terms, items);
  return {
    sharedParts: ['shared_copies', ...MATRIX_TILE_PARTS, 'matrix_groups'] as const,
    parts: ['dynamic_memory', 'tile_products', inGroups ? 'group_products' : 'wave_products'],
    threadsPerBlock: inGroups ? GROUP_THREADS : blockThreads(context),
    sharedBytes: stages * STEP_ROW_BYTES * (terms * tokens + BLOCK_ROWS),
    defines: {
      KERNEL_TERMS: terms,
      KERNEL_TOKENS: tokens,
      KERNEL_STAGES: stages,
      KERNEL_WAVE_GROUPS: inGroups ? 1 : 0,
    },
  };
}

function normForm(context: KernelContext, terms: Terms, arrangedTerms: Terms | 0): TermTileForms['norm'] {
  return kernelForm(context, {
    name: 'norm_rows',
    sharedParts: MATRIX_TILE_PARTS,
    parts: ['store_terms', 'arranged_columns'],
    symbol: 'norm_rows',
    arguments: NORM_ARGUMENTS,
    threadsPerBlock: ROW_THREADS,
    defines: { KERNEL_TERMS: terms, KERNEL_ARRANGED_TERMS: arrangedTerms },
  });
}

/** What a block multiplies at once: rows, rows by the gate, which has few rows of its own, or slots of an expert. */
export type TileItems = 'rows' | 'gate' | 'slots';

/** How many of them, at the most. */
export function tileTokens(context: KernelContext, terms: Terms, items: TileItems): number {
  if (items === 'gate' && copiesAhead(context)) return GATE_TOKENS;
  if (items === 'gate' || !isInGroups(context)) return TILE_TOKENS[terms];
  return terms > 1 ? GROUP_TOKENS / 2 : GROUP_TOKENS;
}

/**
 * Whether four waves multiply rows together (packages/gpu/kernels/matrix_groups.hip), which NVIDIA's GPUs of compute
 * capability 9.0 alone can.
 */
export function isInGroups({ target: { vendor, architecture } }: KernelContext): boolean {
  return vendor === 'nvidia' && architecture === 'sm_90';
}

/** Whether copies to shared memory go on by themselves (packages/gpu/kernels/shared_copies.hip). */
function copiesAhead({ target }: KernelContext): boolean {
  return target.vendor === 'nvidia';
}

/** Steps of 32 columns that a block has in shared memory at once: more where copies to it go on by themselves. */
function tileStages(context: KernelContext, terms: Terms, items: TileItems): number {
  if (isInGroups(context) && items === 'gate') return GATE_STAGES;
  // Split activations take as much room as two blocks of a multiprocessor leave each other.
  if (isInGroups(context) && terms === 1) return 5;
  return copiesAhead(context) ? 4 : 2;
}

/** Four waves; eight on RDNA, where half as many lanes would not have the registers for as many sums. */
function blockThreads({ target: { vendor, waveSize } }: KernelContext): number {
  return waveSize * (vendor === 'amd' && waveSize === 32 ? 8 : 4);
}

/** Bytes of shared memory of a block of attention: its queries, and then a turn's keys and values. */
function attentionBytes(context: KernelContext, terms: Terms): number {
  const { attentionHeads, keyValueHeads, headDim } = context.config;
  const queries = (attentionHeads / keyValueHeads) * rowsOfRun(context);
  return terms * 2 * headDim * Math.max(queries, 2 * TURN_KEYS);
}

/**
 * Where activations are split, a wave has half as many tiles of queries, for want of registers, of which CDNA has some more for sums; on RDNA
 * it has so few in any case.
 */
function attentionThreads(context: KernelContext, terms: Terms): number {
  return blockThreads(context) * (terms > 1 && context.target.vendor === 'nvidia' ? 2 : 1);
}

/** Blocks of a launch over `tiles` tiles of rows. */
export function tileBlocks(context: KernelContext, name: TileProduct, tiles: number): number {
  const rows: Readonly<Record<TileProduct, number>> = { ...matrixRows(context), gate: context.config.experts };
  return Math.ceil(rows[name] / BLOCK_ROWS) * tiles;
}
