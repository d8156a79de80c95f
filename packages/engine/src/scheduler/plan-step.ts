/**
 * Which jobs take part in the next step, and with how many tokens. From counts alone: a step can be planned while the one
 * before it still runs.
 */

import type { SequenceStep } from '../runners/runner.ts';
import { type PrefillTurn, takeTurns } from './prefill-turns.ts';
import { GenerateState, type JobState, ScoreState } from './running-job.ts';

/** Bound on the logits that a runner may have to compute for one step of a score, in bytes: all positions are wanted. */
const SCORE_LOGITS_BYTES = 64 * 2 ** 20;

/** What a plan depends on beside the jobs. */
export interface PlanLimits {
  /** The most prompt tokens computed in one step beside answers in progress. */
  readonly prefillChunk: number;
  /** So many times as many where there are none: see ModelRunner. */
  readonly piecesTogether: number;
  /** See ModelRunner. */
  readonly partOfPiece: (tokens: number) => number;
  readonly vocabularySize: number;
  /** The longest sequence, in tokens. */
  readonly contextLength: number;
}

/** A job's part of a step. */
export interface PlannedStep {
  readonly state: JobState;
  /** The position of its first token. */
  readonly from: number;
  readonly step: SequenceStep;
}

/**
 * Tokens that each job computes next; jobs that compute none are left out.
 *
 * @param active in the order in which they came.
 */
export function planCounts(active: readonly JobState[], limits: PlanLimits): ReadonlyMap<JobState, number> {
  const counts = new Map<JobState, number>();
  const prefilling: (PrefillTurn & { readonly state: JobState })[] = [];
  const isBeside = active.some(isAnswering);
  const together = isBeside ? 1 : limits.piecesTogether;
  for (const state of active) {
    const size = nextPiece(state, limits, together);
    const since = state.turnSince;
    if (size === 1) counts.set(state, 1);
    else if (size > 1 && isBeside && isReading(state)) {
      const part = limits.partOfPiece(pieceLength(state, limits));
      // A part is all that the answers are to wait for.
      prefilling.push({ state, size: Math.min(size, part), since, cost: Math.max(1, limits.prefillChunk / part) });
    } else if (size > 1) {
      prefilling.push({ state, size, piece: Math.min(size, limits.prefillChunk), since });
    }
  }
  for (const { index, size } of takeTurns(prefilling, limits.prefillChunk * together)) {
    const turn = prefilling[index];
    if (turn !== undefined) counts.set(turn.state, size);
  }
  return counts;
}

/** A job's part of the next step: its next `count` tokens, and what is wanted of them. */
export function planPart(state: JobState, sequence: number, count: number, limits: PlanLimits): PlannedStep {
  const from = state.computed;
  const end = from + count;
  if (state instanceof ScoreState) {
    const targets = state.job.prompt.subarray(from + 1, end + 1);
    return { state, from, step: { sequence, tokens: state.slice(from, end), want: 'none', targets } };
  }
  if (!(state instanceof GenerateState)) throw new TypeError('A job is neither a generation nor a score');
  const { sampler, job } = state;
  const tokens = from >= state.knownTokens ? 'sampled' : state.slice(from, end);
  const piece = isReading(state) ? pieceLength(state, limits) : count;
  const mask = wantsToken(state, end) ? (state.constraint?.mask() ?? null) : null;
  const step: SequenceStep = {
    sequence,
    tokens,
    want: wantsToken(state, end) ? 'token' : 'none',
    sampler,
    traceRouting: job.traceRouting,
    ...(piece > count ? { piece } : {}),
    ...(mask === null ? {} : { mask }),
    ...(job.logprobs === null ? {} : { logprobs: job.logprobs }),
  };
  return { state, from, step };
}

/** Whether a step that computes up to `end` chooses the job's next token. */
export function wantsToken(state: JobState, end: number): state is GenerateState {
  return state instanceof GenerateState && end === state.required && state.finish === null;
}

/** Whether a job's next token is one of its prompt. */
function isReading(state: JobState): state is GenerateState {
  return state instanceof GenerateState && state.computed < state.job.prompt.length;
}

/** Tokens of the piece that a job is in, its parts before and after the next step included. */
function pieceLength(state: GenerateState, { prefillChunk }: PlanLimits): number {
  const { computed, begunWith, required, job } = state;
  const cut = computed - (computed % prefillChunk);
  const end = Math.min(cut + prefillChunk, job.reproducible ? job.prompt.length : required);
  return end - Math.max(cut, begunWith);
}

/** Whether somebody waits for the job's next token. */
function isAnswering(state: JobState): boolean {
  return state instanceof GenerateState && state.answer.length + state.drawing > 0;
}

/**
 * Tokens up to the next place where the job is cut; 0 where it waits for a token, or has all that it may.
 *
 * @param together the most whole pieces that are taken as one.
 */
function nextPiece(state: JobState, limits: PlanLimits, together: number): number {
  const { computed, required } = state;
  if (state instanceof GenerateState && state.drawing > 0 && !goesOnUnseen(state, limits)) return 0;
  const chunk = chunkOf(state, limits);
  const begun = computed % chunk;
  // Only whole pieces: what is left of a prompt may be computed another way than they are.
  const left = Math.floor((state.job.prompt.length - computed) / chunk);
  const pieces = begun === 0 && chunk === limits.prefillChunk ? Math.max(1, Math.min(together, left)) : 1;
  const cut = computed - begun + chunk * pieces;
  if (state instanceof GenerateState && state.job.reproducible) {
    const { length } = state.job.prompt;
    return computed < length ? Math.min(cut, length) - computed : Math.min(1, state.pending);
  }
  return Math.min(cut, required) - computed;
}

/**
 * Whether a job can go on with a token that nobody above the runner has seen. Grammars and reports of each token need it
 * first; so does the copy that is kept of a prompt, which is made when the answer's first token comes.
 */
function goesOnUnseen({ job, constraint, answer, drawing, required }: GenerateState, limits: PlanLimits): boolean {
  if (constraint !== null || job.logprobs !== null || job.traceRouting || answer.length === 0) return false;
  return answer.length + drawing < job.maxTokens && required < limits.contextLength;
}

function chunkOf(state: JobState, { prefillChunk, vocabularySize }: PlanLimits): number {
  if (!(state instanceof ScoreState)) return prefillChunk;
  return Math.min(prefillChunk, Math.max(1, Math.floor(SCORE_LOGITS_BYTES / (4 * vocabularySize))));
}
