/**
 * Sampling options checked and filled in.
 */

import { checkNumber, describeValue } from '../check-values.ts';
import { InvalidRequestError } from '../errors.ts';
import { SAMPLING_RANGES } from '../ranges.ts';
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
  const number = (field: keyof typeof DEFAULT_SAMPLING, integer = false): number =>
    checkNumber(field, options[field], DEFAULT_SAMPLING[field], { ...SAMPLING_RANGES[field], integer });
  const biases: [number, number][] = [];
  for (const [key, bias] of Object.entries(options.logitBias ?? {})) {
    const id = Number(key);
    if (!/^\d+$/.test(key) || id >= tokens) {
      throw new InvalidRequestError('logitBias', `token id ${describeValue(key)}`, `ids go from 0 to ${tokens - 1}`);
    }
    biases.push([id, checkNumber(`logitBias[${key}]`, bias, 0, SAMPLING_RANGES.logitBias)]);
  }
  return {
    temperature: number('temperature'),
    topP: number('topP'),
    topK: number('topK', true),
    minP: number('minP'),
    seed: checkNumber('seed', options.seed ?? randomSeed(), 0, { ...SAMPLING_RANGES.seed, integer: true }),
    repetitionPenalty: number('repetitionPenalty'),
    presencePenalty: number('presencePenalty'),
    frequencyPenalty: number('frequencyPenalty'),
    logitBias: biases,
  };
}
