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
  pointer('output', 'f32 [rows, heads * head size], written'),
  u32('chunks', 'blocks that share the chunks of a row and KV head'),
  u32('layer', 'the layer among those of its kind'),
  u32('isWindow', '1 where the layer has a window'),
] as const;

const MERGE_ARGUMENTS = [
  STEP,
  pointer('sinks', 'f32 [heads]'),
  pointer('partials', 'f32 [chunks of all rows, heads, head size + 2]'),
  pointer('output', 'f32 [rows, heads * head size], written where rows have several chunks'),
] as const;

/** The kernels of attention. */
export interface AttentionForms {
  readonly attend: KernelForm<typeof ATTEND_ARGUMENTS>;
  readonly merge: KernelForm<typeof MERGE_ARGUMENTS>;
}

export function attentionForms(context: KernelContext): AttentionForms {
  const defines = { ATTENTION_CHUNK };
  return {
    attend: kernelForm(context, {
      name: 'attention',
      parts: ['kv_blocks', 'attention_row'],
      symbol: 'attend',
      arguments: ATTEND_ARGUMENTS,
      threadsPerBlock: THREADS,
      defines,
    }),
    merge: kernelForm(context, {
      name: 'merge_attention',
      parts: ['attention_row'],
      symbol: 'merge_attention',
      arguments: MERGE_ARGUMENTS,
      threadsPerBlock: mergeThreads(context),
      defines,
    }),
  };
}

/** Whether rows can have several chunks in a layer with a window, which then would have to be merged. */
export function windowFitsChunk({ slidingWindow }: { readonly slidingWindow: number }): boolean {
  return slidingWindow <= ATTENTION_CHUNK;
}

/** Blocks of a merge of `rows` rows. */
export function mergeBlocks(context: KernelContext, rows: number): number {
  return (rows * context.config.attentionHeads * context.config.headDim) / mergeThreads(context);
}

/** Four heads a block, or as many as there are. */
function mergeThreads({ config }: KernelContext): number {
  return config.headDim * Math.min(4, config.attentionHeads);
}
