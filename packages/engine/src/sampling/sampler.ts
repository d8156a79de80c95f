/**
 * From logits to the next token, for one request.
 *
 * The order of the steps is vLLM's: penalties, bias and mask change the logits; temperature makes probabilities; min-p,
 * top-k and top-p cut the tail, each on what the one before left; one random number picks a token.
 *
 * @module
 */
import { indexOfLargest, indicesOfLargest } from './largest.ts';
import type { SamplingParameters } from './parameters.ts';
import { RandomStream } from './random.ts';
import { applyTokenMask, type TokenMask } from './token-mask.ts';

/** exp(-45) < 2^-64: against the largest token's 1, such a term is lost in f64 rounding anyway, so it is not computed. */
const NEGLIGIBLE_EXPONENT = -45;
/** Where the search for a top-p set starts; nearly every nucleus is smaller. */
const FIRST_NUCLEUS_SIZE = 64;

/** Chooses one request's tokens. Holds its random numbers and the tokens seen so far; knows nothing of other requests. */
export class Sampler {
  readonly #parameters: SamplingParameters;
  readonly #random: RandomStream;
  readonly #penalized: boolean;
  readonly #promptTokens: ReadonlySet<number>;
  readonly #answerCounts = new Map<number, number>();
  #scratch: Float32Array | null = null;

  /** `prompt`: the prompt's token ids, which the repetition penalty counts. */
  constructor(parameters: SamplingParameters, prompt: Int32Array) {
    this.#parameters = parameters;
    this.#random = new RandomStream(parameters.seed);
    this.#penalized =
      parameters.repetitionPenalty !== 1 || parameters.presencePenalty !== 0 || parameters.frequencyPenalty !== 0;
    this.#promptTokens = new Set(parameters.repetitionPenalty === 1 ? [] : prompt);
  }

  /**
   * Chooses the next token from f32 [vocabulary] logits, which stay as they are.
   * With a mask, only its tokens are chosen; the mask has to allow at least one.
   */
  sample(logits: Float32Array, mask: TokenMask | null = null): number {
    const adjusted = this.#adjust(logits, mask);
    const id = this.#parameters.temperature === 0 ? indexOfLargest(adjusted) : this.#draw(adjusted);
    if (this.#penalized) this.#answerCounts.set(id, (this.#answerCounts.get(id) ?? 0) + 1);
    return id;
  }

  #adjust(logits: Float32Array, mask: TokenMask | null): Float32Array {
    const { logitBias } = this.#parameters;
    if (!this.#penalized && logitBias.length === 0 && mask === null) return logits;
    this.#scratch ??= new Float32Array(logits.length);
    const adjusted = this.#scratch;
    adjusted.set(logits);
    if (this.#penalized) this.#penalize(adjusted);
    for (const [id, bias] of logitBias) adjusted[id] = (adjusted[id] as number) + bias;
    if (mask !== null) applyTokenMask(adjusted, mask);
    return adjusted;
  }

  #penalize(logits: Float32Array): void {
    const { repetitionPenalty, presencePenalty, frequencyPenalty } = this.#parameters;
    const repeat = (id: number): void => {
      const logit = logits[id] as number;
      logits[id] = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
    };
    for (const id of this.#promptTokens) if (!this.#answerCounts.has(id)) repeat(id);
    for (const [id, count] of this.#answerCounts) {
      repeat(id);
      logits[id] = (logits[id] as number) - presencePenalty - count * frequencyPenalty;
    }
  }

  #draw(logits: Float32Array): number {
    const { temperature, topP, topK, minP } = this.#parameters;
    const largest = logits[indexOfLargest(logits)] as number;
    // Nothing finite to weigh: a row of -Infinity, or one with +Infinity. The largest is the only answer.
    if (!Number.isFinite(largest)) return indexOfLargest(logits);
    const lowest = largest + temperature * (minP > 0 ? Math.log(minP) : NEGLIGIBLE_EXPONENT);
    const weightOf = (id: number): number => {
      const logit = logits[id] as number;
      return logit >= lowest ? Math.exp((logit - largest) / temperature) : 0;
    };
    if (topK === 0 && topP === 1) return this.#pickFromAll(logits, weightOf);

    const kept = topK === 0 ? logits.length : Math.min(topK, logits.length);
    let total = 0;
    let candidates = topK === 0 ? null : indicesOfLargest(logits, kept);
    if (candidates === null) for (let id = 0; id < logits.length; id++) total += weightOf(id);
    else for (const id of candidates) total += weightOf(id);

    for (let size = FIRST_NUCLEUS_SIZE; ; size *= 8) {
      const sorted: Int32Array = candidates ?? indicesOfLargest(logits, size);
      let mass = 0;
      for (let count = 0; count < sorted.length; count++) {
        mass += weightOf(sorted[count] as number);
        if (mass >= topP * total) return this.#pickFrom(sorted.subarray(0, count + 1), mass, weightOf);
      }
      // Rounding may leave the sum of everything a hair under topP * total: then everything is in.
      if (sorted.length === kept) return this.#pickFrom(sorted, mass, weightOf);
      candidates = null;
    }
  }

  #pickFrom(ids: Int32Array, total: number, weightOf: (id: number) => number): number {
    let left = this.#random.next() * total;
    let last = ids[0] as number;
    for (const id of ids) {
      const weight = weightOf(id);
      if (weight === 0) continue;
      last = id;
      left -= weight;
      if (left < 0) break;
    }
    return last;
  }

  #pickFromAll(logits: Float32Array, weightOf: (id: number) => number): number {
    let total = 0;
    for (let id = 0; id < logits.length; id++) total += weightOf(id);
    let left = this.#random.next() * total;
    let last = 0;
    for (let id = 0; id < logits.length; id++) {
      const weight = weightOf(id);
      if (weight === 0) continue;
      last = id;
      left -= weight;
      if (left < 0) break;
    }
    return last;
  }
}
