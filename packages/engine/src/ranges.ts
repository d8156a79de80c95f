/**
 * What the numbers of requests and options may be. The checks of the engine, the command line and the HTTP schemas take
 * them from here.
 */

/** From `minimum` to `maximum`. */
export interface NumberRange {
  readonly minimum: number;
  readonly maximum: number;
  /** Whether `minimum` itself is refused. */
  readonly aboveMinimum?: boolean;
}

const PENALTY: NumberRange = { minimum: -2, maximum: 2 };
const WHOLE: NumberRange = { minimum: 0, maximum: Number.MAX_SAFE_INTEGER };

/** Of the fields of SamplingOptions. */
export const SAMPLING_RANGES = {
  temperature: { minimum: 0, maximum: 100 },
  topP: { minimum: 0, maximum: 1, aboveMinimum: true },
  topK: WHOLE,
  minP: { minimum: 0, maximum: 1 },
  seed: WHOLE,
  repetitionPenalty: { minimum: 0, maximum: 10, aboveMinimum: true },
  presencePenalty: PENALTY,
  frequencyPenalty: PENALTY,
  /** Of each token's bias. */
  logitBias: { minimum: -100, maximum: 100 },
} as const satisfies Readonly<Record<string, NumberRange>>;

/** Likeliest tokens that are told beside each token, at most. */
export const MOST_TOP_LOGPROBS = 20;

/** Texts that end one answer, at most. */
export const MOST_STOP_STRINGS = 16;

/** Words that one answer may not have, at most. */
export const MOST_BAD_WORDS = 128;

/** Of the fields of EngineOptions that are numbers of things. */
export const ENGINE_RANGES = {
  threads: { minimum: 1, maximum: 1024 },
  maxSequences: { minimum: 1, maximum: 1024 },
  maxQueue: { minimum: 0, maximum: 1_000_000 },
  prefillChunk: { minimum: 1, maximum: 65_536 },
  maxCachedPrefixes: { minimum: 0, maximum: 1024 },
} as const satisfies Readonly<Record<string, NumberRange>>;
