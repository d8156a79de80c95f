/**
 * From a request to the job that the scheduler runs.
 */

import { randomInt } from 'node:crypto';
import type { Snapshot } from '@switchyard/models';
import { checkNumber } from '../check-values.ts';
import { MOST_TOP_LOGPROBS } from '../ranges.ts';
import type { GenerateRequest } from '../request.ts';
import type { JobConstraintSpec } from '../constraint/job-constraint.ts';
import type { GenerateJob } from '../scheduler/job.ts';
import { answerConstraintOf } from './answer-constraint-of.ts';
import type { StopStrings } from '../answer/stop-strings.ts';
import { checkIds, checkStops } from './check-request.ts';
import { resolveSampling } from './resolve-sampling.ts';
import { tokenLimitsOf } from './token-limits-of.ts';

/** Random seeds stay below 2^48, the most that randomInt gives. */
const RANDOM_SEED_LIMIT = 2 ** 48 - 1;

/** What a request says of its answer, checked and filled in. */
export interface CheckedAnswer {
  /** What the job takes over. `maxTokens` knows nothing of the room yet. */
  readonly options: Omit<GenerateJob, 'kind' | 'id' | 'prompt' | 'arrival'>;
  /** Texts that end the answer. */
  readonly stops: StopStrings;
  /** Tokens that end it because the request says so, not the model. */
  readonly askedStopTokenIds: readonly number[];
}

/** Checks everything but the prompt. Throws InvalidRequestError, UnsupportedError. */
export function checkAnswer(
  request: GenerateRequest,
  { generation, tokenizer, chatTemplate }: Snapshot,
): CheckedAnswer {
  const tokens = tokenizer.vocabularySize;
  const stops = { texts: checkStops(request.stop), included: request.includeStop === true };
  const askedStopTokenIds = [...checkIds('stopTokenIds', request.stopTokenIds ?? [], tokens)];
  const sampling = resolveSampling(request, tokens, () => randomInt(RANDOM_SEED_LIMIT));
  const most = Number.MAX_SAFE_INTEGER;
  return {
    stops,
    askedStopTokenIds,
    options: {
      sampling,
      maxTokens: checkNumber('maxTokens', request.maxTokens, most, { minimum: 1, maximum: most, integer: true }),
      stopTokenIds: [...(request.ignoreEndTokens === true ? [] : generation.eosTokenIds), ...askedStopTokenIds],
      logprobs:
        request.logprobs === undefined
          ? null
          : checkNumber('logprobs', request.logprobs, 0, { minimum: 0, maximum: MOST_TOP_LOGPROBS, integer: true }),
      traceRouting: request.traceRouting === true,
      reusePrefix: request.reusePrefix !== false,
      reproducible: request.seed !== undefined,
      constraint: constraintOf(request, { tokenizer, chatTemplate }),
    },
  };
}

function constraintOf(
  request: GenerateRequest,
  { tokenizer, chatTemplate }: Pick<Snapshot, 'tokenizer' | 'chatTemplate'>,
): JobConstraintSpec | null {
  const answer = answerConstraintOf(request, chatTemplate);
  const tokens = tokenLimitsOf(request, tokenizer, answer !== null);
  return answer === null && tokens === null ? null : { answer, tokens };
}

/**
 * The job of a request whose answer is checked and whose prompt is built.
 *
 * @param id unique among open jobs.
 * @param room the most tokens that the answer may have.
 */
export function toJob(answer: CheckedAnswer, id: number, prompt: Int32Array, room: number): GenerateJob {
  return {
    kind: 'generate',
    id,
    prompt,
    ...answer.options,
    maxTokens: Math.min(answer.options.maxTokens, room),
    arrival: performance.timeOrigin + performance.now(),
  };
}
