/**
 * What a sampler does, every default filled in.
 */

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
