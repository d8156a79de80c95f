/**
 * The experts: the list of what is to be computed, gate and up projections, down projection, and their weighted sum.
 */

import { type KernelContext, type KernelForm, STEP, TEAM, kernelForm, pointer, u32 } from './kernel-form.ts';
import { MOST_ROWS_BY_SLOT, mostItems, vectorBytes } from './sizes.ts';
import { GROUP_ROWS, GROUP_THREADS, MOST_SHARED_BYTES, copiesInBulk, mxfp4Product } from './mxfp4-product.ts';

const LIST_ARGUMENTS = [
  pointer('offsets', 'i32 [experts + 1], of the dispatch plan'),
  pointer('list', 'i32 words, written'),
] as const;

export const CODES = pointer('codes', 'u32 [experts, rows, columns / 8], arranged');
export const SCALES = pointer('scales', 'U8 [experts, rows, columns / 32]');
export const BIAS = pointer('bias', 'f32 [experts, rows]');
const LOGITS = pointer('logits', 'f32 [rows, experts], of the gate projection');

const LISTED_ARGUMENTS = [
  CODES,
  SCALES,
  BIAS,
  pointer('input', 'vectors: the normed rows, or those of slots that the gate and up projections leave'),
  pointer('offsets', 'i32 [experts + 1], of the dispatch plan'),
  pointer('sortedSlots', 'i32 [rows * K], of the dispatch plan'),
  pointer('output', 'vectors for the down projection, or its f32 [slots, hidden]; written'),
  u32('room', 'items that the launch has room for; where blocks share the work, how many they are'),
] as const;

const SLOT_GATE_UP_ARGUMENTS = [
  STEP,
  CODES,
  SCALES,
  BIAS,
  pointer('gain', 'f32 [hidden], of the norm before'),
  pointer('residual', 'f32 [rows, hidden]'),
  LOGITS,
  pointer('output', 'vectors for the down projection, one for each slot; written'),
  u32('slots', 'slots that the launch has room for'),
] as const;

const SLOT_DOWN_ARGUMENTS = [
  STEP,
  CODES,
  SCALES,
  BIAS,
  LOGITS,
  pointer('activated', 'the vectors that the gate and up projections leave'),
  pointer('ids', 'i32 [rows, K], written'),
  pointer('weights', 'f32 [rows, K], written'),
  pointer('residual', 'f32 [rows, hidden], added to'),
  u32('rows', 'rows that the launch has room for'),
] as const;

const COMBINE_ARGUMENTS = [
  STEP,
  pointer('weights', 'f32 [rows, K], of the router'),
  pointer('output', 'f32 [rows * K, hidden], of the down projection'),
  pointer('residual', 'f32 [rows, hidden], added to'),
] as const;

/** The expert kernels where slots are listed by expert. */
export interface ListedExpertForms {
  readonly gateUp: KernelForm<typeof LISTED_ARGUMENTS>;
  readonly down: KernelForm<typeof LISTED_ARGUMENTS>;
}

/** The expert kernels where each slot is worked on by itself: they also route, norm and combine. */
export interface SlotExpertForms {
  readonly gateUp: KernelForm<typeof SLOT_GATE_UP_ARGUMENTS>;
  readonly down: KernelForm<typeof SLOT_DOWN_ARGUMENTS>;
}

type ExpertName = 'gateUp' | 'down';

/** The most groups of rows that a block works on, one behind the other: it finds its vectors once. By trying on an H200. */
const MOST_SLOT_GROUPS = 6;
const MOST_LISTED_GROUPS: Readonly<Record<ExpertName, number>> = { gateUp: 6, down: 9 };

/** Slots (token * K + k) of one expert that a block works on at once where each takes an item: weights are read once for all. */
const ITEM_SLOTS = 4;
/** Blocks of items that a multiprocessor has room for. */
const ITEMS_RESIDENT = 2;

/** Threads of a block that shares the work out with others: as many as a multiprocessor has registers for. */
const SHARE_THREADS = 512;
/** Slots that it works on at once: as many as it has shared memory for. */
const SHARE_SLOTS = 8;
/** Steps between two of its barriers, with as few slots as are columns of one product. */
const SHARE_STEPS = 4;
const PRODUCT_SLOTS = 4;
/** Steps whose weights are in shared memory, or on their way there. */
const SHARE_STAGES = 2;
/** What a step costs beside its products (kernels/hip/parts/expert_shares.hip). */
const STEP_COST = 4;

/** Bytes of shared memory of a block that shares the work out (kernels/hip/parts/expert_products.hip). */
function shareBytes({ hiddenSize, intermediateSize }: KernelContext['config']): number {
  const columns = Math.max(hiddenSize, intermediateSize);
  const squads = SHARE_THREADS / GROUP_THREADS;
  const stages = squads * SHARE_STAGES * GROUP_ROWS * (columns / 2 + columns / 32);
  const sums = 2 * SHARE_STEPS * (SHARE_THREADS / TEAM) * GROUP_ROWS * PRODUCT_SLOTS * 4;
  return stages + sums + SHARE_SLOTS * vectorBytes(columns);
}

/** Whether blocks of listed experts share the work out. */
function sharesExperts({ target, config }: KernelContext): boolean {
  return copiesInBulk(target) && shareBytes(config) <= MOST_SHARED_BYTES;
}

function listedDivision(context: KernelContext, name: ExpertName) {
  const { parts, sharedParts } = mxfp4Product(context.target);
  if (sharesExperts(context)) {
    return {
      suffix: '_shares',
      parts: [...parts, 'swiglu', 'expert_shares', 'dynamic_memory', 'expert_products'],
      sharedParts: [...sharedParts, 'bulk_copies'] as const,
      threadsPerBlock: SHARE_THREADS,
      sharedBytes: shareBytes(context.config),
      defines: { KERNEL_VECTORS: SHARE_SLOTS, KERNEL_STEPS: SHARE_STEPS, KERNEL_STEP_COST: STEP_COST },
    };
  }
  return {
    suffix: '',
    parts: [...parts, 'swiglu', 'expert_items'],
    sharedParts,
    threadsPerBlock: GROUP_THREADS,
    defines: {
      KERNEL_VECTORS: ITEM_SLOTS,
      KERNEL_GROUPS: listedGroups(context, name),
      KERNEL_RESIDENT: ITEMS_RESIDENT,
    },
  };
}

export function listedExpertForms(context: KernelContext): ListedExpertForms {
  const form = (name: ExpertName, file: string, symbol: string) => {
    const { suffix, ...division } = listedDivision(context, name);
    return kernelForm(context, { ...division, name: `${file}${suffix}`, symbol, arguments: LISTED_ARGUMENTS });
  };
  return {
    gateUp: form('gateUp', 'gate_up', 'expert_gate_up'),
    down: form('down', 'down', 'expert_down'),
  };
}

/**
 * Blocks of a launch for `rows` rows, and its argument `room`.
 *
 * @param multiprocessors of the device: where blocks share the work, each has one.
 */
export function listedExpertBlocks(
  context: KernelContext,
  name: ExpertName,
  { rows, multiprocessors }: { readonly rows: number; readonly multiprocessors: number },
): { readonly blocks: number; readonly room: number } {
  if (sharesExperts(context)) return { blocks: multiprocessors, room: multiprocessors };
  const room = mostItems(context.config, rows, ITEM_SLOTS);
  return { blocks: (matrixRows(context, name) / (GROUP_ROWS * listedGroups(context, name))) * room, room };
}

/**
 * The kernels of slots.
 *
 * @param routes whether they route by themselves. Where not, what they take for logits is what a kernel before has chosen:
 * ids i32 [MOST_ROWS_BY_SLOT, K] and weights f32 [MOST_ROWS_BY_SLOT, K]. Defaults to true.
 */
export function slotExpertForms(context: KernelContext, routes = true): SlotExpertForms {
  const { parts, sharedParts } = mxfp4Product(context.target);
  const routing = routes ? 'route_row' : 'routed_row';
  const defines = routes ? {} : { ROUTED_ROWS: MOST_ROWS_BY_SLOT };
  return {
    gateUp: kernelForm(context, {
      name: 'slot_gate_up',
      sharedParts,
      parts: ['row_norm', routing, ...parts, 'swiglu'],
      symbol: 'slot_gate_up',
      arguments: SLOT_GATE_UP_ARGUMENTS,
      threadsPerBlock: GROUP_THREADS,
      defines: { ...defines, KERNEL_GROUPS: slotGroups(context) },
    }),
    down: kernelForm(context, {
      name: 'slot_down',
      sharedParts,
      parts: [routing, ...parts],
      symbol: 'slot_down',
      arguments: SLOT_DOWN_ARGUMENTS,
      threadsPerBlock: GROUP_THREADS,
      defines,
    }),
  };
}

/** Blocks of a launch with room for `rows` rows. */
export function slotExpertBlocks(context: KernelContext, name: ExpertName, rows: number): number {
  const groups = matrixRows(context, name) / GROUP_ROWS;
  if (name === 'down') return groups * rows;
  return (groups / slotGroups(context)) * rows * context.config.expertsPerToken;
}

function matrixRows({ config }: KernelContext, name: ExpertName): number {
  return name === 'gateUp' ? 2 * config.intermediateSize : config.hiddenSize;
}

/** The most groups that leave no block with fewer. */
function slotGroups(context: KernelContext): number {
  return largestDivisor(matrixRows(context, 'gateUp') / GROUP_ROWS, MOST_SLOT_GROUPS);
}

function listedGroups(context: KernelContext, name: ExpertName): number {
  return largestDivisor(matrixRows(context, name) / GROUP_ROWS, MOST_LISTED_GROUPS[name]);
}

function largestDivisor(count: number, most: number): number {
  let divisor = most;
  while (count % divisor !== 0) divisor--;
  return divisor;
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

/** Lists items of up to `tile` slots. One block. */
export function expertListForm(context: KernelContext, tile: number): KernelForm<typeof LIST_ARGUMENTS> {
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
