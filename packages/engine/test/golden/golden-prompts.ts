import type { GoldenPrompt } from '../../src/runners/suite/index.ts';
import { reference } from './reference.ts';

/** What transformers computed, as the runner suite takes it. */
export const goldenPrompts: readonly GoldenPrompt[] = reference.map((prompt) => ({
  ids: prompt.ids,
  greedy: prompt.greedy,
  topIds: prompt.top_ids,
  topLogits: prompt.top_logits,
  nll: prompt.prompt_nll,
  routing: prompt.routers,
}));
