/**
 * From the sampler's log-probabilities to those of the events.
 */

import type { Tokenizer } from '@switchyard/models';
import type { SampledTokenLogprob, TokenLogprob } from '../events.ts';
import type { RawLogprobs } from '../sampling/logprobs.ts';

/** Adds texts and bytes to log-probabilities. */
export function describeLogprobs(tokenizer: Tokenizer, token: number, raw: RawLogprobs): SampledTokenLogprob {
  const describe = (id: number, logprob: number): TokenLogprob => ({
    id,
    token: tokenizer.decode([id]),
    bytes: [...tokenizer.tokenBytes(id)],
    logprob,
  });
  return {
    ...describe(token, raw.logprob),
    top: Array.from(raw.topIds, (id, i) => describe(id, raw.topLogprobs[i] ?? Number.NEGATIVE_INFINITY)),
  };
}
