/**
 * Tokens from rows of logits.
 */

import { type KernelContext, type KernelForm, STEP, kernelForm, pointer, u32 } from './kernel-form.ts';
import { LARGEST_BLOCKS } from './sizes.ts';

const LOGITS = pointer('logits', 'f32 [rows, vocabulary], of a launch of the head');
const TOKENS = pointer('tokens', 'i32 [rows], written');
const CANDIDATES = u32('candidates', 'ids that may be chosen, from 0 up');
const FIRST = u32('first', 'the first wanted row of the launch of the head');

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
    parts: ['token_weights', 'block_search'],
    defines: { KERNEL_BLOCKS: LARGEST_BLOCKS },
  });
}
