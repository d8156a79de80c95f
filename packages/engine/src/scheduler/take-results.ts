/**
 * What a step's outputs mean to its jobs: tokens, scores, routing, and which answers are complete.
 */

import { InvalidLogitsError } from '../errors.ts';
import type { SequenceOutput } from '../runners/runner.ts';
import type { FailureReport, FinishReport, RoutingReport, ScoreReport, TokenReport } from './job.ts';
import type { PlannedStep } from './plan-step.ts';
import { GenerateState, ScoreState } from './running-job.ts';

/** A step's reports, being collected. */
export interface StepResults {
  readonly tokens: TokenReport[];
  readonly finished: FinishReport[];
  readonly scored: ScoreReport[];
  readonly routing: RoutingReport[];
  readonly failed: FailureReport[];
}

/** Reports of nothing. */
export const noResults = (): StepResults => ({ tokens: [], finished: [], scored: [], routing: [], failed: [] });

/** Whether there is anything to tell. */
export const isEmpty = ({ tokens, finished, scored, routing, failed }: StepResults): boolean =>
  tokens.length + finished.length + scored.length + routing.length + failed.length === 0;

/** What became of a job in a step. */
export type Taken =
  | { readonly kind: 'goes-on' }
  | { readonly kind: 'scored' }
  | {
      readonly kind: 'finished';
      readonly reason: 'stop' | 'length';
      readonly stopToken: number | null;
      readonly at: number;
    };

const GOES_ON: Taken = { kind: 'goes-on' };

/**
 * Gives a job what a step computed for it, and reports it.
 *
 * @param at when the step was done.
 * @param contextLength the longest sequence, in tokens.
 * @throws where the job cannot go on
 */
export function takeOutput(
  { state, from, step }: PlannedStep,
  output: SequenceOutput,
  at: number,
  contextLength: number,
  results: StepResults,
): Taken {
  if (output.failure !== undefined) throw output.failure;
  if (state instanceof ScoreState) return takeScores(state, from, output, results);
  if (!(state instanceof GenerateState)) return GOES_ON;
  if (step.traceRouting === true) {
    const tokens = step.tokens === 'sampled' ? 1 : step.tokens.length;
    results.routing.push({ id: state.job.id, position: from, tokens, layers: output.routing ?? [] });
  }
  if (step.want !== 'token') return state.finish === null ? GOES_ON : { kind: 'finished', ...state.finish };
  return takeToken(state, output, at, contextLength, results);
}

function takeToken(
  state: GenerateState,
  { token, logprobs }: SequenceOutput,
  at: number,
  contextLength: number,
  results: StepResults,
): Taken {
  const { job } = state;
  if (token < 0) throw new InvalidLogitsError();
  state.constraint?.accept(token);
  state.awaitMask();
  state.answer.push(token);
  state.lastTokenAt = at;
  results.tokens.push({
    id: job.id,
    token,
    at,
    ...(logprobs === undefined ? {} : { logprobs }),
    ...(state.firstTokenAt === null ? { start: startOf(state, at) } : {}),
  });
  state.firstTokenAt ??= at;

  const stopped = state.stopTokenIds.has(token);
  const full = state.answer.length >= job.maxTokens || state.knownTokens >= contextLength;
  if (!stopped && !full) return GOES_ON;
  const finish = { reason: stopped ? 'stop' : 'length', stopToken: stopped ? token : null, at } as const;
  if (!job.traceRouting) return { kind: 'finished', ...finish };
  // A traced answer's last token takes one more step, so that every token has its routing.
  state.finish = finish;
  return GOES_ON;
}

function startOf({ cachedTokens, startedAt, job }: GenerateState, at: number): NonNullable<TokenReport['start']> {
  const started = startedAt ?? at;
  return { cachedTokens, queue: started - job.arrival, prefill: at - started };
}

function takeScores(state: ScoreState, from: number, output: SequenceOutput, results: StepResults): Taken {
  state.logprobs.set(output.targetLogprobs ?? [], from);
  if (state.pending > 0 || state.underWay > 0) return GOES_ON;
  results.scored.push({ id: state.job.id, logprobs: state.logprobs });
  return { kind: 'scored' };
}
