/**
 * How a runner of logits may choose a token itself, so that no row of logits leaves its device.
 */

import type { Sampler } from '../sampling/sampler.ts';
import type { LogitsRunner, LogitsStep } from './logits-runner.ts';
import type { SequenceStep } from './runner.ts';

/** What the runner is asked for. */
export type TokenChoice = Pick<LogitsStep, 'logits' | 'draw' | 'adjustments' | 'mask'>;

/**
 * What to ask for; null where more than the token is wanted, or more decides than the runner takes.
 *
 * @param ahead tokens that are being chosen by this sampler, 0 or 1.
 */
export function tokenChoice(
  { choosesTokens = false, mostAdjustedTokens }: Pick<LogitsRunner, 'choosesTokens' | 'mostAdjustedTokens'>,
  sampler: Sampler,
  { mask, logprobs, targets }: SequenceStep,
  ahead: number,
): TokenChoice | null {
  if (choosesTokens === false || logprobs !== undefined || targets !== undefined) return null;
  const adjustments = sampler.planAdjustments(ahead);
  if (adjustments !== null || mask !== undefined) {
    if (mostAdjustedTokens === undefined || (adjustments?.tokens.size ?? 0) > mostAdjustedTokens) return null;
  }
  const draw = sampler.planDraw(ahead);
  if (draw !== null && choosesTokens === 'largest') return null;
  return {
    ...(draw === null ? { logits: 'largest' } : { logits: 'drawn', draw }),
    ...(adjustments === null ? {} : { adjustments }),
    ...(mask === undefined ? {} : { mask }),
  };
}
