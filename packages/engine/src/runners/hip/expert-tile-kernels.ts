/**
 * The experts of passes by matrix tiles: the list of what is to be computed, gate and up projections, and down projection.
 */

import { BIAS, CODES, SCALES, expertListForm } from './expert-kernels.ts';
import { type KernelContext, type KernelForm, kernelForm, pointer } from './kernel-form.ts';
import { FEW_SLOTS_OF_EXPERT, FEW_TILE_SLOTS, MANY_TILE_SLOTS, type Terms, mostItems, splitTermsOf } from './sizes.ts';
import { BLOCK_ROWS, STEP_ROW_BYTES, isInGroups, productForm, tileTokens } from './tile-kernels.ts';

const EXPERT_ARGUMENTS = [
  CODES,
  SCALES,
  BIAS,
  pointer(
    'input',
    'bf16: normed rows, arranged or in their split terms, or activated slots in the order of the dispatch plan',
  ),
  pointer('list', 'the list of items'),
  pointer('sortedSlots', 'i32 [rows * K], of the dispatch plan'),
  pointer('output', 'bf16 [slots, terms * intermediate] in the order of the plan, or f32 [slots, hidden]; written'),
] as const;

/** The expert kernels of rows in as many terms. */
export interface ExpertTileForms {
  readonly listExperts: ReturnType<typeof expertListForm>;
  readonly gateUp: KernelForm<typeof EXPERT_ARGUMENTS>;
  readonly down: KernelForm<typeof EXPERT_ARGUMENTS>;
}

/** Kernels for passes of few slots (token * K + k) an expert, and for any: a slot has the same bits with both. */
export type ExpertTile = 'few' | 'many';

/** Slots of an expert that a block of row groups takes at once, its rows, and the blocks that a multiprocessor has room for. */
const ROW_GROUP_BLOCKS = {
  few: { slots: FEW_TILE_SLOTS, rows: 128, resident: 3 },
  many: { slots: MANY_TILE_SLOTS, rows: 256, resident: 1 },
} as const satisfies Readonly<Record<ExpertTile, object>>;
/** Rows of a group of four waves, and its threads (packages/gpu/kernels/matrix_row_groups.hip). */
const GROUP_ROWS = 64;
const GROUP_THREADS = 128;
/** Steps that such a block has in shared memory at once. */
const STAGES = 4;
/** Blocks that a multiprocessor has room for where weights go through shared memory: each hides what the other waits for. */
const RESIDENT = 2;

/**
 * Whether experts multiply with their weights in registers (packages/gpu/kernels/matrix_row_groups.hip), and read rows in the
 * order of kernels/hip/parts/arranged_columns.hip.
 */
export function readsArranged(context: KernelContext): boolean {
  return isInGroups(context);
}

/** The kernels that there are. */
export function expertTiles(context: KernelContext): readonly ExpertTile[] {
  return readsArranged(context) ? ['few', 'many'] : ['many'];
}

/** Those for a pass of so many rows. */
export function expertTileOf(context: KernelContext, rows: number): ExpertTile {
  const { experts, expertsPerToken } = context.config;
  return readsArranged(context) && rows * expertsPerToken <= FEW_SLOTS_OF_EXPERT * experts ? 'few' : 'many';
}

/** The most items that the slots of so many rows make. */
export function expertTileItems(context: KernelContext, terms: Terms, rows: number): number {
  return mostItems(context.config, rows, slotsOf(context, terms, expertTileOf(context, rows)));
}

function slotsOf(context: KernelContext, terms: Terms, tile: ExpertTile): number {
  return readsArranged(context) ? ROW_GROUP_BLOCKS[tile].slots : tileTokens(context, terms, 'slots');
}

/** Blocks of a launch over as many items. */
export function expertTileBlocks(
  context: KernelContext,
  name: 'gateUp' | 'down',
  tile: ExpertTile,
  items: number,
): number {
  const { hiddenSize, intermediateSize } = context.config;
  const rows = name === 'gateUp' ? 2 * intermediateSize : hiddenSize;
  return Math.ceil(rows / (readsArranged(context) ? ROW_GROUP_BLOCKS[tile].rows : BLOCK_ROWS)) * items;
}

/** The forms of rows in as many terms. */
export function expertTileForms(context: KernelContext, terms: Terms, tile: ExpertTile): ExpertTileForms {
  const listExperts = expertListForm(context, slotsOf(context, terms, tile));
  return { listExperts, ...(readsArranged(context) ? rowGroups(context, terms, tile) : matrixTiles(context, terms)) };
}

type Products = Omit<ExpertTileForms, 'listExperts'>;

function rowGroups(context: KernelContext, terms: Terms, tile: ExpertTile): Products {
  const { slots, rows, resident } = ROW_GROUP_BLOCKS[tile];
  const { sharedParts } = productForm(context, terms, 'slots');
  const parts = ['dynamic_memory', 'store_terms', 'arranged_columns', 'expert_row_groups', 'expert_place'];
  const experts = {
    sharedParts: [...sharedParts, 'bf16_products', 'matrix_row_groups'] as const,
    parts,
    arguments: EXPERT_ARGUMENTS,
    threadsPerBlock: (rows / GROUP_ROWS) * GROUP_THREADS,
    sharedBytes: STAGES * STEP_ROW_BYTES * terms * slots,
    defines: { KERNEL_TERMS: terms, KERNEL_TOKENS: slots, KERNEL_RESIDENT: resident },
  };
  return {
    gateUp: kernelForm(context, {
      ...experts,
      name: 'gate_up_row_groups',
      parts: [...parts, 'swiglu'],
      symbol: 'expert_gate_up_row_groups',
    }),
    down: kernelForm(context, { ...experts, name: 'down_row_groups', symbol: 'expert_down_row_groups' }),
  };
}

function matrixTiles(context: KernelContext, terms: Terms): Products {
  const { parts, defines, ...product } = productForm(context, terms, 'slots');
  const experts = { ...product, arguments: EXPERT_ARGUMENTS };
  return {
    gateUp: kernelForm(context, {
      ...experts,
      name: 'gate_up_tiles',
      parts: [...parts, 'mxfp4_tiles', 'expert_place', 'store_terms', 'swiglu'],
      symbol: 'expert_gate_up_tiles',
      defines: { ...defines, KERNEL_RESIDENT: RESIDENT, NORMED_TERMS: splitTermsOf(context.kv, context.target.vendor) },
    }),
    down: kernelForm(context, {
      ...experts,
      name: 'down_tiles',
      parts: [...parts, 'mxfp4_tiles', 'expert_place'],
      symbol: 'expert_down_tiles',
      defines: { ...defines, KERNEL_RESIDENT: RESIDENT },
    }),
  };
}
