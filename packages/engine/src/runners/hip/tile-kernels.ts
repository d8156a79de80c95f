/**
 * The kernels of passes by matrix tiles: everything between the embedding and the head where many rows are computed at once.
 */

import { MATRIX_TILE_PARTS } from '@switchyard/gpu';
import type { KernelTarget } from '@switchyard/gpu';
import { type KernelContext, type KernelForm, STEP, kernelForm, pointer, u32 } from './kernel-form.ts';
import { expertListForm } from './expert-kernels.ts';
import { NORMED_TERMS, TILE_ROWS } from './sizes.ts';

/** Tiles of 16 queries of one head that a block of attention has, where its KV head has so few query heads. */
const QUERY_TILES = 8;
/** Rows of a matrix tile. */
const TILE_SIZE = 16;
const NORM_THREADS = 256;

const NORM_ARGUMENTS = [
  STEP,
  pointer('gain', 'f32 [hidden]'),
  pointer('residual', 'f32 [rows, hidden]'),
  pointer('output', 'bf16 [rows, terms * hidden], written'),
] as const;

const QKV_ARGUMENTS = [
  STEP,
  pointer('weight', 'bf16 [(heads + 2 * KV heads) * head size, hidden]'),
  pointer('bias', 'f32, one for each of its rows'),
  pointer('normed', 'bf16 [rows, hidden]'),
  pointer('cosines', 'f32 [positions, head size / 2]'),
  pointer('sines', 'f32 [positions, head size / 2]'),
  pointer('queries', 'bf16 [rows, heads * head size], rotated, written'),
  pointer('cache', 'the KV blocks, written'),
  u32('layer', 'the layer among those of its kind'),
  u32('isWindow', '1 where the layer has a window'),
] as const;

const ATTEND_ARGUMENTS = [
  STEP,
  pointer('queries', 'bf16 [rows, heads * head size], rotated'),
  pointer('cache', 'the KV blocks'),
  pointer('sinks', 'f32 [heads]'),
  pointer('output', 'bf16 [rows, heads * head size], written'),
  u32('runs', 'runs of the step block'),
  u32('layer', 'the layer among those of its kind'),
  u32('isWindow', '1 where the layer has a window'),
] as const;

const ATTENTION_OUTPUT_ARGUMENTS = [
  STEP,
  pointer('weight', 'bf16 [hidden, heads * head size]'),
  pointer('bias', 'f32 [hidden]'),
  pointer('attended', 'bf16 [rows, heads * head size]'),
  pointer('residual', 'f32 [rows, hidden], added to'),
] as const;

const GATE_ARGUMENTS = [
  STEP,
  pointer('weight', 'bf16 [experts, hidden]'),
  pointer('bias', 'f32 [experts]'),
  pointer('normed', 'bf16 [rows, 2 * hidden], in two terms'),
  pointer('logits', 'f32 [rows, experts], written'),
] as const;

const projectionArguments = [
  pointer('codes', 'u32 [experts, rows, columns / 8], arranged'),
  pointer('scales', 'U8 [experts, rows, columns / 32]'),
  pointer('bias', 'f32 [experts, rows]'),
  pointer('input', 'bf16: normed rows in two terms, or activated slots in the order of the dispatch plan'),
  pointer('list', 'the list of items'),
  pointer('sortedSlots', 'i32 [rows * K], of the dispatch plan'),
  pointer('output', 'bf16 [slots, intermediate] in the order of the dispatch plan, or f32 [slots, hidden]; written'),
] as const;

/** The kernels by matrix tiles. */
export interface TileForms {
  readonly normForQkv: KernelForm<typeof NORM_ARGUMENTS>;
  readonly qkv: KernelForm<typeof QKV_ARGUMENTS>;
  readonly attend: KernelForm<typeof ATTEND_ARGUMENTS>;
  readonly attentionOutput: KernelForm<typeof ATTENTION_OUTPUT_ARGUMENTS>;
  readonly normForExperts: KernelForm<typeof NORM_ARGUMENTS>;
  readonly gate: KernelForm<typeof GATE_ARGUMENTS>;
  readonly listExperts: ReturnType<typeof expertListForm>;
  readonly gateUp: KernelForm<typeof projectionArguments>;
  readonly down: KernelForm<typeof projectionArguments>;
}

/** Kernels that are products of rows with a matrix, block by block. */
export type TileProduct = 'qkv' | 'attentionOutput' | 'gate' | 'gateUp' | 'down';

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

export function tileForms(context: KernelContext): TileForms {
  const sharedParts = MATRIX_TILE_PARTS;
  const threadsPerBlock = blockThreads(context);
  const products = { sharedParts: ['shared_copies', ...sharedParts] as const, threadsPerBlock };
  const norm = (terms: number) =>
    kernelForm(context, {
      name: 'norm_rows',
      sharedParts,
      symbol: 'norm_rows',
      arguments: NORM_ARGUMENTS,
      threadsPerBlock: NORM_THREADS,
      defines: { KERNEL_TERMS: terms },
    });
  const experts = {
    ...products,
    parts: ['tile_products', 'mxfp4_tiles'],
    arguments: projectionArguments,
  };
  return {
    normForQkv: norm(1),
    qkv: kernelForm(context, {
      ...products,
      name: 'qkv_tiles',
      parts: ['kv_blocks', 'tile_products'],
      symbol: 'project_qkv_tiles',
      arguments: QKV_ARGUMENTS,
    }),
    attend: kernelForm(context, {
      name: 'attention_tiles',
      sharedParts,
      parts: ['kv_blocks'],
      symbol: 'attend_tiles',
      arguments: ATTEND_ARGUMENTS,
      threadsPerBlock,
      defines: { KERNEL_QUERIES: rowsOfRun(context) },
    }),
    attentionOutput: kernelForm(context, {
      ...products,
      name: 'attention_output_tiles',
      parts: ['tile_products'],
      symbol: 'project_attention_tiles',
      arguments: ATTENTION_OUTPUT_ARGUMENTS,
    }),
    normForExperts: norm(NORMED_TERMS),
    gate: kernelForm(context, {
      ...products,
      name: 'gate_tiles',
      parts: ['tile_products'],
      symbol: 'project_gate_tiles',
      arguments: GATE_ARGUMENTS,
    }),
    listExperts: expertListForm(context, TILE_ROWS),
    gateUp: kernelForm(context, {
      ...experts,
      name: 'gate_up_tiles',
      parts: [...experts.parts, 'swiglu'],
      symbol: 'expert_gate_up_tiles',
      defines: { KERNEL_TERMS: NORMED_TERMS },
    }),
    down: kernelForm(context, { ...experts, name: 'down_tiles', symbol: 'expert_down_tiles' }),
  };
}

/** Four waves; eight on RDNA, where half as many lanes would not have the registers for as many sums. */
function blockThreads({ target: { vendor, waveSize } }: KernelContext): number {
  return waveSize * (vendor === 'amd' && waveSize === 32 ? 8 : 4);
}

/** Blocks of a launch over `tiles` tiles of TILE_ROWS rows, or over as many items of experts. */
export function tileBlocks({ config }: KernelContext, name: TileProduct, tiles: number): number {
  const { attentionHeads, keyValueHeads, headDim, hiddenSize, intermediateSize, experts } = config;
  const rows: Readonly<Record<TileProduct, number>> = {
    qkv: (attentionHeads + 2 * keyValueHeads) * headDim,
    attentionOutput: hiddenSize,
    gate: experts,
    gateUp: 2 * intermediateSize,
    down: hiddenSize,
  };
  return Math.ceil(rows[name] / TILE_ROWS) * tiles;
}
