/**
 * What penalties and biases do to a row of logits. Every token that any of them is about stands in one list, once, so that a
 * device can take the tokens in any order and at once: each has its logit changed by what its own entry says.
 */

import type { SamplingParameters } from './parameters.ts';

/** i32 words of an entry: the token's id, its count, and its bias in f64. */
export const ENTRY_WORDS = 4;

/** Count of a token that neither the prompt nor the answer has: nothing is known of it but its bias. */
const UNSEEN = -1;

/** How much tokens are penalized that were there before. */
export type Penalties = Pick<SamplingParameters, 'repetitionPenalty' | 'presencePenalty' | 'frequencyPenalty'>;

/** What changes a row's logits before its token is chosen. */
export interface LogitAdjustments {
  readonly penalties: Penalties;
  readonly tokens: AdjustedTokens;
  /**
   * Tokens of the answer that count. `tokens` goes on as they become known: where it has counted one fewer, the row's own input
   * token is the one that is left.
   */
  readonly answered: number;
}

/** The tokens of one answer whose logits change. */
export class AdjustedTokens {
  #words = new Int32Array(64 * ENTRY_WORDS);
  /** The same memory: an entry's bias is its second f64. */
  #doubles = new Float64Array(this.#words.buffer);
  readonly #places = new Map<number, number>();
  #answered = 0;

  /**
   * @param prompt ids that were there before the answer.
   * @param biases pairs of id and bias.
   */
  constructor(prompt: Iterable<number>, biases: SamplingParameters['logitBias']) {
    for (const id of prompt) this.#words[this.#placeOf(id) + 1] = 0;
    for (const [id, bias] of biases) {
      const place = this.#placeOf(id) / 2 + 1;
      this.#doubles[place] = (this.#doubles[place] as number) + bias;
    }
  }

  /** How many there are. */
  get size(): number {
    return this.#places.size;
  }

  /** Tokens of the answer that were counted. */
  get answered(): number {
    return this.#answered;
  }

  /**
   * i32 [size, ENTRY_WORDS]: id, count, bias in f64. The count is how often the answer has the token; 0 where the prompt alone
   * has it, -1 where neither has. Good until the next token is counted.
   */
  get entries(): Int32Array {
    return this.#words.subarray(0, this.size * ENTRY_WORDS);
  }

  /** Counts the answer's next token. */
  count(id: number): void {
    const place = this.#placeOf(id) + 1;
    this.#words[place] = Math.max(0, this.#words[place] as number) + 1;
    this.#answered++;
  }

  /** Changes f32 [vocabulary] logits in place; ids past them are left out. */
  apply(logits: Float32Array, penalties: Penalties): void {
    const doubles = this.#doubles;
    const entries = this.entries;
    for (let place = 0; place < entries.length; place += ENTRY_WORDS) {
      const id = entries[place] as number;
      if (id >= logits.length) continue;
      const logit = logits[id] as number;
      logits[id] = adjustedLogit(logit, penalties, entries[place + 1] as number, doubles[place / 2 + 1] as number);
    }
  }

  /** Where the token's entry begins, in words; made where there is none yet. */
  #placeOf(id: number): number {
    const known = this.#places.get(id);
    if (known !== undefined) return known;
    const place = this.size * ENTRY_WORDS;
    if (place === this.#words.length) this.#grow();
    this.#places.set(id, place);
    this.#words[place] = id;
    this.#words[place + 1] = UNSEEN;
    return place;
  }

  #grow(): void {
    const words = new Int32Array(2 * this.#words.length);
    words.set(this.#words);
    this.#words = words;
    this.#doubles = new Float64Array(words.buffer);
  }
}

/** f32 after each operation, all of which are in f64: kernels/hip/adjust.hip does the same ones. */
function adjustedLogit(logit: number, penalties: Penalties, count: number, bias: number): number {
  const { repetitionPenalty, presencePenalty, frequencyPenalty } = penalties;
  let adjusted = logit;
  if (count >= 0) adjusted = Math.fround(adjusted > 0 ? adjusted / repetitionPenalty : adjusted * repetitionPenalty);
  if (count > 0) adjusted = Math.fround(adjusted - presencePenalty - count * frequencyPenalty);
  return Math.fround(adjusted + bias);
}
