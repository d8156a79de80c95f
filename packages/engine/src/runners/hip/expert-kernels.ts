/**
 * The experts: the list of what is to be computed, gate and up projections, down projection, and their weighted sum.
 */

import { type KernelContext, type KernelForm, STEP, TEAM, kernelForm, pointer, u32 } from './kernel-form.ts';
import { type ExpertTile, LISTED_TILE } from './sizes.ts';

const LIST_ARGUMENTS = [
  pointer('offsets', 'i32 [experts + 1], of the dispatch plan'),
  pointer('list', 'i32 words, written'),
] as const;

const projectionArguments = [
  STEP,
  pointer('codes', 'u32 [experts, rows, columns / 8], arranged'),
  pointer('scales', 'U8 [experts, rows, columns / 32]'),
  pointer('bias', 'f32 [experts, rows]'),
  pointer('input', 'f32 [rows or slots, columns]'),
  pointer('ids', 'i32 [rows, K], of the router'),
  pointer('list', 'the list of items; not read with a tile of 1'),
  pointer('sortedSlots', 'i32 [rows * K], of the dispatch plan; not read with a tile of 1'),
  pointer('output', 'f32 [slots, width], written'),
  u32('items', 'items that the launch has room for'),
] as const;

const COMBINE_ARGUMENTS = [
  STEP,
  pointer('weights', 'f32 [rows, K], of the router'),
  pointer('output', 'f32 [rows * K, hidden], of the down projection'),
  pointer('residual', 'f32 [rows, hidden], added to'),
] as const;

/** The expert kernels for one tile. */
export interface ExpertForms {
  readonly gateUp: KernelForm<typeof projectionArguments>;
  readonly down: KernelForm<typeof projectionArguments>;
}

/** Teams of a block. */
const TEAMS = 8;
/** Rows of a matrix that a team works on at once. With four, the next group's weights would find no registers free. */
const ROWS_PER_TEAM = 2;
/** The most groups of rows that a block works on, one behind the other: its vectors are brought to shared memory once. */
const MOST_GROUPS = { gateUp: 6, down: 3 } as const;

export function expertForms(context: KernelContext, tile: ExpertTile): ExpertForms {
  const common = (name: keyof ExpertForms) => ({
    parts: ['mxfp4_rows', 'expert_items'],
    arguments: projectionArguments,
    threadsPerBlock: TEAMS * TEAM,
    defines: {
      KERNEL_ROWS: ROWS_PER_TEAM,
      KERNEL_VECTORS: tile,
      KERNEL_GROUPS: groupsOf(context, name),
    },
  });
  return {
    gateUp: kernelForm(context, {
      name: 'gate_up',
      symbol: 'expert_gate_up',
      ...common('gateUp'),
      parts: ['mxfp4_rows', 'expert_items', 'swiglu'],
    }),
    down: kernelForm(context, { name: 'down', symbol: 'expert_down', ...common('down') }),
  };
}

/** Blocks of a launch with room for `items` items. */
export function expertBlocks(context: KernelContext, name: keyof ExpertForms, items: number): number {
  const rows = ROWS_PER_TEAM * TEAMS * groupsOf(context, name);
  return (matrixRows(context, name) / rows) * items;
}

function matrixRows({ config }: KernelContext, name: keyof ExpertForms): number {
  return name === 'gateUp' ? 2 * config.intermediateSize : config.hiddenSize;
}

/** The most groups that leave no block with fewer. */
function groupsOf(context: KernelContext, name: keyof ExpertForms): number {
  const groups = matrixRows(context, name) / (ROWS_PER_TEAM * TEAMS);
  let most = MOST_GROUPS[name];
  while (groups % most !== 0) most--;
  return most;
}

const ARRANGE_ARGUMENTS = [
  pointer('words', 'u32 [count], eight codes each, rewritten'),
  u32('count', 'words'),
] as const;
const ARRANGE_THREADS = 256;

/** Brings the codes of a checkpoint into the order that the kernels read, in place. */
export function arrangeCodesForm(context: KernelContext): KernelForm<typeof ARRANGE_ARGUMENTS> {
  return kernelForm(context, {
    name: 'arrange_codes',
    symbol: 'arrange_codes',
    arguments: ARRANGE_ARGUMENTS,
    threadsPerBlock: ARRANGE_THREADS,
  });
}

/** Blocks of a launch over `words` words. */
export function arrangeBlocks(words: number): number {
  return Math.ceil(words / ARRANGE_THREADS);
}

/** Lists items of `tile` slots each. One block. */
export function expertListForm(context: KernelContext, tile: number = LISTED_TILE): KernelForm<typeof LIST_ARGUMENTS> {
  return kernelForm(context, {
    name: 'expert_list',
    symbol: 'list_experts',
    arguments: LIST_ARGUMENTS,
    threadsPerBlock: Math.ceil(context.config.experts / 64) * 64,
    defines: { KERNEL_VECTORS: tile },
  });
}

/** A block a row. */
export function combineForm(context: KernelContext): KernelForm<typeof COMBINE_ARGUMENTS> {
  return kernelForm(context, {
    name: 'combine',
    symbol: 'combine_experts',
    arguments: COMBINE_ARGUMENTS,
    threadsPerBlock: 256,
  });
}
