/**
 * Token ids become the residual stream.
 */

import { type KernelContext, type KernelForm, STEP, kernelForm, pointer } from './kernel-form.ts';

const ARGUMENTS = [
  STEP,
  pointer('embedding', 'bf16 [vocabulary, hidden]'),
  pointer('chosen', 'i32, tokens chosen by passes before'),
  pointer('residual', 'f32 [rows, hidden], written'),
] as const;

/** A block a row. */
export function embeddingForm(context: KernelContext): KernelForm<typeof ARGUMENTS> {
  return kernelForm(context, { name: 'embed', symbol: 'embed', arguments: ARGUMENTS, threadsPerBlock: 128 });
}
