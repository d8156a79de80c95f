/**
 * Sampling options checked and filled in.
 *
 * @module
 */
import { InvalidRequestError } from '../errors.ts';
import type { SamplingOptions } from '../request.ts';

/** Sampling options with every default filled in. Survives a structured clone. */
export interface SamplingParameters {
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly minP: number;
  readonly seed: number;
  readonly repetitionPenalty: number;
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
  /** Pairs of token id and bias. */
  readonly logitBias: readonly (readonly [id: number, bias: number])[];
}

/** The defaults: greedy, with nothing switched on. */
export const DEFAULT_SAMPLING = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
} as const;

/** What a caller passed, short enough for an error message. */
export function describeValue(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') return String(value);
  if (value === null || value === undefined) return String(value);
  return Array.isArray(value) ? `an array of ${value.length}` : `a value of type ${typeof value}`;
}

interface NumberRule {
  readonly minimum: number;
  readonly maximum: number;
  /** Whether `minimum` itself is refused. */
  readonly aboveMinimum?: boolean;
  readonly integer?: boolean;
}

/** Returns `value`, or `fallback` where it is undefined; throws InvalidRequestError outside the rule. */
export function checkNumber(field: string, value: unknown, fallback: number, rule: NumberRule): number {
  if (value === undefined) return fallback;
  const allowed =
    typeof value === 'number' &&
    value >= rule.minimum &&
    value <= rule.maximum &&
    !(rule.aboveMinimum === true && value === rule.minimum) &&
    !(rule.integer === true && !Number.isInteger(value));
  if (!allowed) {
    const kind = rule.integer === true ? 'an integer' : 'a number';
    const lower = rule.aboveMinimum === true ? `above ${rule.minimum}` : `from ${rule.minimum}`;
    throw new InvalidRequestError(field, describeValue(value), `give ${kind} ${lower} to ${rule.maximum}`);
  }
  return value;
}

/**
 * Checks the options' ranges and token ids. Throws InvalidRequestError.
 *
 * @param tokens Ids that have a token are those from 0 up to it.
 * @param randomSeed Called where no seed is given.
 */
export function resolveSampling(
  options: SamplingOptions,
  tokens: number,
  randomSeed: () => number,
): SamplingParameters {
  const penalty = { minimum: -2, maximum: 2 };
  const biases: [number, number][] = [];
  for (const [key, bias] of Object.entries(options.logitBias ?? {})) {
    const id = Number(key);
    if (!/^\d+$/.test(key) || id >= tokens) {
      throw new InvalidRequestError('logitBias', `token id ${describeValue(key)}`, `ids go from 0 to ${tokens - 1}`);
    }
    biases.push([id, checkNumber(`logitBias[${key}]`, bias, 0, { minimum: -100, maximum: 100 })]);
  }
  return {
    temperature: checkNumber('temperature', options.temperature, DEFAULT_SAMPLING.temperature, {
      minimum: 0,
      maximum: 100,
    }),
    topP: checkNumber('topP', options.topP, DEFAULT_SAMPLING.topP, { minimum: 0, maximum: 1, aboveMinimum: true }),
    topK: checkNumber('topK', options.topK, DEFAULT_SAMPLING.topK, {
      minimum: 0,
      maximum: Number.MAX_SAFE_INTEGER,
      integer: true,
    }),
    minP: checkNumber('minP', options.minP, DEFAULT_SAMPLING.minP, { minimum: 0, maximum: 1 }),
    seed: checkNumber('seed', options.seed ?? randomSeed(), 0, {
      minimum: 0,
      maximum: Number.MAX_SAFE_INTEGER,
      integer: true,
    }),
    repetitionPenalty: checkNumber('repetitionPenalty', options.repetitionPenalty, DEFAULT_SAMPLING.repetitionPenalty, {
      minimum: 0,
      maximum: 10,
      aboveMinimum: true,
    }),
    presencePenalty: checkNumber('presencePenalty', options.presencePenalty, DEFAULT_SAMPLING.presencePenalty, penalty),
    frequencyPenalty: checkNumber(
      'frequencyPenalty',
      options.frequencyPenalty,
      DEFAULT_SAMPLING.frequencyPenalty,
      penalty,
    ),
    logitBias: biases,
  };
}
