/**
 * How likely each token is, as whole numbers: their sums are exact, so that they are the same in any order and on any
 * device. Floating-point sums over 201,088 tokens could not be.
 */

import { exactExp } from './exact-exp.ts';

/** The weight of the likeliest token. A sum over 2^18 tokens stays within 2^53, where f64 counts exactly. */
const LARGEST_WEIGHT = 2 ** 35;

/** The smallest weight that min-p leaves: what a token's probability has to be of the likeliest one's, from 0 (off) to 1. */
export function smallestWeight(minP: number): number {
  return Math.floor(minP * LARGEST_WEIGHT);
}

/** floor(2^35 e^x) is 0 from here down: 35 ln 2 is 24.26. */
const LOWEST_EXPONENT = -24.5;

/** The weights of one row of logits. */
export class TokenWeights {
  readonly #logits: Float32Array;
  readonly #largest: number;
  readonly #temperature: number;
  /** The lowest logit that can have a weight. */
  readonly #lowest: number;
  /** The smallest weight that min-p leaves. */
  readonly #smallest: number;

  /**
   * @param logits f32 [vocabulary]; NaN and -Infinity weigh nothing.
   * @param largest the largest of them, finite.
   * @param temperature above 0.
   * @param minP 0 (off) to 1.
   */
  constructor(logits: Float32Array, largest: number, temperature: number, minP: number) {
    this.#logits = logits;
    this.#largest = largest;
    this.#temperature = temperature;
    this.#lowest = largest + LOWEST_EXPONENT * temperature;
    this.#smallest = smallestWeight(minP);
  }

  /** floor(2^35 e^((logit - largest) / temperature)), 0 where min-p cuts it: a whole number from 0 to 2^35. */
  of(id: number): number {
    const logit = this.#logits[id] as number;
    if (!(logit >= this.#lowest)) return 0;
    const weight = Math.floor(LARGEST_WEIGHT * exactExp((logit - this.#largest) / this.#temperature));
    return weight >= this.#smallest ? weight : 0;
  }
}
