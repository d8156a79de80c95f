/** The arguments of the router's kernels, as data: a launch packs its argument buffer from these lists, in this order. */

import type { KernelArgument } from '@switchyard/gpu';

/** The arguments of the routing kernel. T is the number of rows, E of experts, K of winners. */
export const ROUTER_KERNEL_ARGUMENTS = [
  {
    name: 'logits',
    type: 'pointer',
    doc: '[T, rowStride] in the configured dtype. Its address and the row stride in bytes are multiples of loadBytes.',
  },
  { name: 'weights', type: 'pointer', doc: 'f32 [T, K], written. 16-byte aligned.' },
  { name: 'ids', type: 'pointer', doc: 'i32, u32 or i64 [T, K], written. 16-byte aligned.' },
  // What every launch reads comes first, so that it lies in one line of the constant cache.
  { name: 'rowBytes', type: 'u32', doc: 'Bytes from one row of logits to the next, at least those of E logits.' },
  { name: 'tokens', type: 'u32', doc: 'T.' },
  { name: 'routedScalingFactor', type: 'f32', doc: 'Multiplies every weight.' },
  { name: 'rangeStart', type: 'u32', doc: 'First expert of expertRange.' },
  { name: 'rangeEnd', type: 'u32', doc: 'One past the last expert of expertRange.' },
  { name: 'tokenExpertIndices', type: 'pointer', doc: 'i32 [T, K], written; null unless configured. 16-byte aligned.' },
  { name: 'correctionBias', type: 'pointer', doc: 'f32 [E]; null unless configured.' },
  { name: 'paddingMask', type: 'pointer', doc: 'u8 [T]; null for none. Read only with the padding option.' },
  { name: 'rowCount', type: 'pointer', doc: 'u32 [1]; null for T. Read only with the padding option.' },
] as const satisfies readonly KernelArgument[];

/** Where a dispatch plan goes. */
const PLAN_OUTPUT_ARGUMENTS = [
  { name: 'expertOffsets', type: 'pointer', doc: 'i32 [E + 1], written.' },
  { name: 'sortedSlots', type: 'pointer', doc: 'i32 [T * K], written; -1 at and past expertOffsets[E].' },
  {
    name: 'expertTiles',
    type: 'pointer',
    doc: 'i32 [2 + E + 2 * tileCapacity], written: the lists of ExpertTiles one after the other; null unless configured.',
  },
] as const satisfies readonly KernelArgument[];

/** The arguments of the routing kernels that make a dispatch plan, or the first part of one. */
export const PLAN_ROUTER_KERNEL_ARGUMENTS = [
  ...ROUTER_KERNEL_ARGUMENTS,
  ...PLAN_OUTPUT_ARGUMENTS,
  {
    name: 'workspace',
    type: 'pointer',
    doc: 'Scratch memory, 16-byte aligned: the number of arrived blocks, u32 [1] in 16 bytes, 0 before and after; counts, u8 [blocks, E to the next multiple of 4]; ranks, u8 [T * K]. Null where one block does it all.',
  },
  { name: 'tileCapacity', type: 'u32', doc: 'See expertTileCapacity.' },
  { name: 'blocks', type: 'u32', doc: 'Blocks of this launch.' },
] as const satisfies readonly KernelArgument[];

/** What kernels that list tiles take after that. */
const TILES_ARGUMENTS = [
  { name: 'tileShift', type: 'u32', doc: 'A tile has 2^tileShift rows: 4 for 16 to 7 for 128.' },
] as const satisfies readonly KernelArgument[];

/** The same where it lists tiles. */
export const TILES_ROUTER_KERNEL_ARGUMENTS = [
  ...PLAN_ROUTER_KERNEL_ARGUMENTS,
  ...TILES_ARGUMENTS,
] as const satisfies readonly KernelArgument[];

/** The arguments of the kernel that makes the dispatch plan of many tokens from the rows of the workspace. */
export const DISPATCH_PLAN_KERNEL_ARGUMENTS = [
  { name: 'ids', type: 'pointer', doc: 'The ids that the routing kernel wrote, [T, K].' },
  { name: 'workspace', type: 'pointer', doc: 'As the routing kernel left it.' },
  ...PLAN_OUTPUT_ARGUMENTS,
  { name: 'tileCapacity', type: 'u32', doc: 'See expertTileCapacity.' },
  { name: 'slots', type: 'u32', doc: 'T * K.' },
  { name: 'rows', type: 'u32', doc: 'Blocks of the routing launch: rows of the workspace.' },
  { name: 'rowsPerBlock', type: 'u32', doc: 'Rows whose tokens one block of this launch places.' },
  { name: 'blocks', type: 'u32', doc: 'Blocks of this launch.' },
] as const satisfies readonly KernelArgument[];

/** The same where it lists tiles. */
export const TILES_DISPATCH_PLAN_KERNEL_ARGUMENTS = [
  ...DISPATCH_PLAN_KERNEL_ARGUMENTS,
  ...TILES_ARGUMENTS,
] as const satisfies readonly KernelArgument[];

/** What is multiplied, and where the products' sums go. */
const GATE_ARGUMENTS = [
  {
    name: 'hidden',
    type: 'pointer',
    doc: '[T, rowStride] in the configured dtype. Its address and the row stride in bytes are multiples of 16.',
  },
  { name: 'gateWeight', type: 'pointer', doc: 'bf16 [E, H]. 16-byte aligned. Not written by the kernel before.' },
  { name: 'gateBias', type: 'pointer', doc: 'f32 [E]; null for none.' },
  { name: 'logits', type: 'pointer', doc: 'f32 [T, E], written. 16-byte aligned.' },
] as const satisfies readonly KernelArgument[];

/** The arguments of the kernel that forms logits alone. */
export const GATE_KERNEL_ARGUMENTS = [
  ...GATE_ARGUMENTS,
  { name: 'rowBytes', type: 'u32', doc: 'Bytes from one hidden state to the next, at least those of H elements.' },
  { name: 'tokens', type: 'u32', doc: 'T.' },
  { name: 'expertBlocks', type: 'u32', doc: 'Blocks that share the experts of the same tokens.' },
] as const satisfies readonly KernelArgument[];

/** The arguments of the kernel that forms logits and routes them. */
export const GATED_ROUTER_KERNEL_ARGUMENTS = [
  ...GATE_ARGUMENTS,
  { name: 'words', type: 'pointer', doc: 'u64 [T, E], by which blocks hand over logits: 0 before and after.' },
  { name: 'rowBytes', type: 'u32', doc: 'Bytes from one hidden state to the next, at least those of H elements.' },
  { name: 'tokens', type: 'u32', doc: 'T, no more than the form takes.' },
  { name: 'blocks', type: 'u32', doc: 'Blocks of this launch.' },
  { name: 'weights', type: 'pointer', doc: 'f32 [T, K], written. 16-byte aligned.' },
  { name: 'ids', type: 'pointer', doc: 'i32, u32 or i64 [T, K], written. 16-byte aligned.' },
  { name: 'routedScalingFactor', type: 'f32', doc: 'Multiplies every weight.' },
  { name: 'rangeStart', type: 'u32', doc: 'First expert of expertRange.' },
  { name: 'rangeEnd', type: 'u32', doc: 'One past the last expert of expertRange.' },
  { name: 'tokenExpertIndices', type: 'pointer', doc: 'i32 [T, K], written; null unless configured. 16-byte aligned.' },
  { name: 'correctionBias', type: 'pointer', doc: 'f32 [E]; null unless configured.' },
  { name: 'paddingMask', type: 'pointer', doc: 'u8 [T]; null for none. Read only with the padding option.' },
  { name: 'rowCount', type: 'pointer', doc: 'u32 [1]; null for T. Read only with the padding option.' },
] as const satisfies readonly KernelArgument[];

/** The same where it makes the dispatch plan too. */
export const PLAN_GATED_ROUTER_KERNEL_ARGUMENTS = [
  ...GATED_ROUTER_KERNEL_ARGUMENTS,
  ...PLAN_OUTPUT_ARGUMENTS,
  { name: 'tileCapacity', type: 'u32', doc: 'See expertTileCapacity.' },
] as const satisfies readonly KernelArgument[];

/** The same where it lists tiles. */
export const TILES_GATED_ROUTER_KERNEL_ARGUMENTS = [
  ...PLAN_GATED_ROUTER_KERNEL_ARGUMENTS,
  ...TILES_ARGUMENTS,
] as const satisfies readonly KernelArgument[];
