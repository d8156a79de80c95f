/**
 * Sampling options checked and filled in.
 *
 * @module
 */
import { checkNumber, describeValue } from '../check-values.ts';
import { InvalidRequestError } from '../errors.ts';
import type { SamplingOptions } from '../request.ts';
import { DEFAULT_SAMPLING, type SamplingParameters } from '../sampling/parameters.ts';

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
