/**
 * Attention over the KV cache.
 */

import { type KernelContext, type KernelForm, STEP, kernelForm, pointer, u32 } from './kernel-form.ts';
import { ATTENTION_CHUNK } from './sizes.ts';

const THREADS = 256;

const ATTEND_ARGUMENTS = [
  STEP,
  pointer('queries', 'f32 [rows, heads * head size], rotated'),
  pointer('cache', 'the KV blocks'),
  pointer('sinks', 'f32 [heads]'),
  pointer('partials', 'f32 [chunks of all rows, heads, head size + 2], written where rows have several chunks'),
  pointer('arrivals', 'u32 [rows, KV heads], 0 before and after'),
  pointer('output', 'f32 [rows, heads * head size], written'),
  u32('chunks', 'blocks that share the chunks of a row and KV head'),
  u32('layer', 'the layer among those of its kind'),
  u32('isWindow', '1 where the layer has a window'),
] as const;

/** Attention, with the merging of what is computed in several chunks. */
export function attentionForm(context: KernelContext): KernelForm<typeof ATTEND_ARGUMENTS> {
  return kernelForm(context, {
    name: 'attention',
    parts: ['kv_blocks', 'attention_row'],
    symbol: 'attend',
    arguments: ATTEND_ARGUMENTS,
    threadsPerBlock: THREADS,
    defines: { ATTENTION_CHUNK },
  });
}

/** Whether a layer with a window has one chunk a row, whatever the row sees in others. */
export function windowFitsChunk({ slidingWindow }: { readonly slidingWindow: number }): boolean {
  return slidingWindow <= ATTENTION_CHUNK;
}
