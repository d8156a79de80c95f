/**
 * Attention over the KV cache.
 */

import { type KernelContext, type KernelForm, STEP, kernelForm, kvParts, pointer, u32 } from './kernel-form.ts';
import { ATTENTION_CHUNK, MOST_KEY_RUNS } from './sizes.ts';

const THREADS = 256;

const ATTEND_ARGUMENTS = [
  STEP,
  pointer('queries', 'f32 [rows, heads * head size], rotated'),
  pointer('cache', 'the KV blocks'),
  pointer('sinks', 'f32 [heads]'),
  pointer('partials', 'f32 [runs of keys of all rows, heads, head size + 2], written where rows have several chunks'),
  pointer('arrivals', 'u32 [rows, KV heads], 0 before and after'),
  pointer('output', 'f32 [rows, heads * head size], written'),
  u32('blocks', 'blocks that share the keys of a row and KV head'),
  u32('layer', 'the layer among those of its kind'),
  u32('isWindow', '1 where the layer has a window'),
] as const;

/** Attention, with the merging of what is computed in several runs of keys. */
export function attentionForm(context: KernelContext): KernelForm<typeof ATTEND_ARGUMENTS> {
  return kernelForm(context, {
    name: 'attention',
    parts: [...kvParts(context), 'attention_row'],
    symbol: 'attend',
    arguments: ATTEND_ARGUMENTS,
    threadsPerBlock: THREADS,
    defines: { ATTENTION_CHUNK, ATTENTION_KEY_RUNS: MOST_KEY_RUNS },
  });
}

/** Whether a layer with a window has one chunk a row, whatever the row sees in others. */
export function windowFitsChunk({ slidingWindow }: { readonly slidingWindow: number }): boolean {
  return slidingWindow <= ATTENTION_CHUNK;
}

/** Blocks for each multiprocessor, where there are as many: enough that one which ends late does not count. */
const BLOCKS_OF_MULTIPROCESSOR = 8;

/**
 * Blocks that share the keys of a row and KV head: as many as there are runs of keys, unless the rows make enough of them
 * that a block had better go on with the next run, whose keys it asks for while it computes.
 *
 * @param places rows and KV heads of the launch.
 * @param mostRuns runs of keys of the row that has most.
 */
export function attentionBlocks(places: number, mostRuns: number, multiprocessors: number): number {
  return Math.min(mostRuns, Math.ceil((BLOCKS_OF_MULTIPROCESSOR * multiprocessors) / places));
}
