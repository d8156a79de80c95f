/**
 * Log-probabilities as chat completions and responses show them.
 */

import type { SampledTokenLogprob, TokenLogprob } from '../events.ts';

function tokenJson({ token, logprob, bytes }: TokenLogprob): {
  token: string;
  logprob: number;
  bytes: readonly number[];
} {
  return { token, logprob, bytes };
}

/** Tokens, each with its likeliest rivals. */
export function logprobsJson(tokens: readonly SampledTokenLogprob[]): object[] {
  return tokens.map((token) => ({ ...tokenJson(token), top_logprobs: token.top.map(tokenJson) }));
}
