/**
 * The likeliest token of a row of logits.
 */

import { type KernelContext, type KernelForm, STEP, kernelForm, pointer, u32 } from './kernel-form.ts';

const ARGUMENTS = [
  STEP,
  pointer('logits', 'f32 [rows, vocabulary], of a launch of the head'),
  pointer('tokens', 'i32 [rows], written'),
  u32('candidates', 'ids that may be chosen, from 0 up'),
  u32('first', 'the first wanted row of the launch of the head'),
] as const;

/** A block a row. */
export function largestForm(context: KernelContext): KernelForm<typeof ARGUMENTS> {
  return kernelForm(context, {
    name: 'largest',
    symbol: 'choose_largest',
    arguments: ARGUMENTS,
    threadsPerBlock: 1024,
  });
}
