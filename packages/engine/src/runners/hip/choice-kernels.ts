/**
 * Tokens from rows of logits.
 */

import { type KernelContext, type KernelForm, STEP, kernelForm, pointer, u32 } from './kernel-form.ts';
import { LARGEST_BLOCKS } from './sizes.ts';
import { ADJUSTMENT_PLACES } from './step-adjustments.ts';

const LOGITS = pointer('logits', 'f32 [rows, vocabulary], of a launch of the head');
const TOKENS = pointer('tokens', 'i32 [rows], written');
const CANDIDATES = u32('candidates', 'ids that may be chosen, from 0 up');
const FIRST = u32('first', 'the first wanted row of the launch of the head');

const ADJUSTED_LOGITS = pointer('logits', 'f32 [rows, vocabulary], of a launch of the head; changed in place');

const ADJUST_ARGUMENTS = [
  STEP,
  pointer('chosen', 'i32, tokens chosen by passes before'),
  ADJUSTED_LOGITS,
  CANDIDATES,
  FIRST,
] as const;

const MASK_ARGUMENTS = [STEP, ADJUSTED_LOGITS, CANDIDATES, FIRST] as const;

const LARGEST_ARGUMENTS = [
  STEP,
  LOGITS,
  pointer('found', 'i64 [rows, LARGEST_BLOCKS], written'),
  pointer('arrivals', 'u32 [rows], 0 before and after'),
  TOKENS,
  CANDIDATES,
  FIRST,
] as const;

const DRAW_ARGUMENTS = [
  STEP,
  LOGITS,
  pointer('found', 'u64 [rows, LARGEST_BLOCKS], written'),
  pointer('arrivals', 'u32 [rows], 0 before and after'),
  pointer('tokens', 'i32 [rows]: the likeliest; rewritten where a row is drawn'),
  CANDIDATES,
  FIRST,
] as const;

/** What penalties and biases make of the logits. A block a row. */
export function adjustForm(context: KernelContext): KernelForm<typeof ADJUST_ARGUMENTS> {
  return kernelForm(context, {
    name: 'adjust',
    symbol: 'adjust_logits',
    arguments: ADJUST_ARGUMENTS,
    threadsPerBlock: 1024,
    sharedParts: ['exact_doubles'],
    parts: ['step_doubles'],
    defines: ADJUSTMENT_PLACES,
  });
}

/** What masks leave of the logits, after `adjustForm`. LARGEST_BLOCKS blocks a row. */
export function maskForm(context: KernelContext): KernelForm<typeof MASK_ARGUMENTS> {
  return kernelForm(context, {
    name: 'mask',
    symbol: 'mask_logits',
    arguments: MASK_ARGUMENTS,
    threadsPerBlock: 256,
    defines: { KERNEL_BLOCKS: LARGEST_BLOCKS, ...ADJUSTMENT_PLACES },
  });
}

/** The likeliest token. LARGEST_BLOCKS blocks a row. */
export function largestForm(context: KernelContext): KernelForm<typeof LARGEST_ARGUMENTS> {
  return kernelForm(context, {
    name: 'largest',
    symbol: 'choose_largest',
    arguments: LARGEST_ARGUMENTS,
    threadsPerBlock: 256,
    parts: ['largest_logit'],
    defines: { KERNEL_BLOCKS: LARGEST_BLOCKS },
  });
}

/** The token that the row's draw says, where it has one, after `largestForm`. LARGEST_BLOCKS blocks a row. */
export function drawForm(context: KernelContext): KernelForm<typeof DRAW_ARGUMENTS> {
  return kernelForm(context, {
    name: 'draw',
    symbol: 'draw_tokens',
    arguments: DRAW_ARGUMENTS,
    threadsPerBlock: 1024,
    sharedParts: ['exact_doubles'],
    parts: ['step_doubles', 'token_weights', 'block_search'],
    defines: { KERNEL_BLOCKS: LARGEST_BLOCKS },
  });
}
