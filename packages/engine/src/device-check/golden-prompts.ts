/**
 * What an independent implementation computed for the embedded checkpoint.
 */

import { readFile } from 'node:fs/promises';
import { embeddedReferencePath } from '@switchyard/models';
import type { GoldenPrompt } from '../runners/suite/index.ts';

/** An entry of the file. */
interface ReferencePrompt {
  readonly ids: readonly number[];
  readonly greedy: readonly number[];
  readonly top_ids: readonly number[];
  readonly top_logits: readonly number[];
  readonly prompt_nll: number;
  readonly routers: GoldenPrompt['routing'];
}

/** The prompts of the embedded checkpoint, in the order of the file. */
export async function embeddedGoldenPrompts(): Promise<GoldenPrompt[]> {
  const prompts = JSON.parse(await readFile(embeddedReferencePath(), 'utf8')) as readonly ReferencePrompt[];
  return prompts.map(({ ids, greedy, top_ids, top_logits, prompt_nll, routers }) => ({
    ids,
    greedy,
    topIds: top_ids,
    topLogits: top_logits,
    nll: prompt_nll,
    routing: routers,
  }));
}
