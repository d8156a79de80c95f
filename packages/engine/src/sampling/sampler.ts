/**
 * From logits to the next token, for one request.
 *
 * The order of the steps is vLLM's: penalties, bias and mask change the logits; temperature makes weights; min-p, top-k and
 * top-p cut the tail, each on what the one before left; one random number picks a token. Weights are whole numbers
 * (token-weights.ts), so that every device chooses the same token from the same logits:
 *
 * - likelier means a larger logit, and of equal ones the lower id; NaN is never chosen;
 * - top-p keeps the fewest likeliest tokens whose weights sum to at least topP times the sum of all that are left;
 * - the draw takes the first token, in the order of their ids, at which the running sum exceeds
 *   min(floor(u * sum), sum - 1), u being the request's next random number in [0, 1).
 */

import { AdjustedTokens, type LogitAdjustments } from './adjusted-tokens.ts';
import { indexOfLargest, indicesOfLargest } from './largest.ts';
import { keepNucleus } from './nucleus.ts';
import type { SamplingParameters } from './parameters.ts';
import { RandomStream } from './random.ts';
import { applyTokenMask, type TokenMask } from './token-mask.ts';
import type { TokenDraw } from './token-draw.ts';
import { TokenWeights, smallestWeight } from './token-weights.ts';

/** Nearly every top-p set is smaller: it is found by sorting the likeliest tokens alone. */
const SMALL_NUCLEUS = 64;

/** Room for one row, of all samplers of a thread: tokens are chosen one after the other. */
let sharedLogits = new Float32Array(0);
let sharedWeights = new Float64Array(0);

/** Chooses one request's tokens. Holds its random numbers and the tokens seen so far; knows nothing of other requests. */
export class Sampler {
  readonly #parameters: SamplingParameters;
  readonly #random: RandomStream;
  /** Random numbers that the next tokens are drawn with, where they were told before the tokens were drawn. */
  readonly #toldRandoms: number[] = [];
  readonly #penalized: boolean;
  readonly #adjusted: AdjustedTokens;

  /**
   * @param prompt the prompt's token ids, which the repetition penalty counts.
   * @param answer the tokens chosen so far, where this sampler goes on with what another has begun. Defaults to none.
   */
  constructor(parameters: SamplingParameters, prompt: Int32Array, answer: readonly number[] = []) {
    this.#parameters = parameters;
    this.#random = new RandomStream(parameters.seed, parameters.temperature === 0 ? 0 : answer.length);
    this.#penalized =
      parameters.repetitionPenalty !== 1 || parameters.presencePenalty !== 0 || parameters.frequencyPenalty !== 0;
    this.#adjusted = new AdjustedTokens(parameters.repetitionPenalty === 1 ? [] : prompt, parameters.logitBias);
    for (const id of answer) this.#count(id);
  }

  /** Whether the tokens chosen so far change how the next one is. */
  get countsTokens(): boolean {
    return this.#penalized;
  }

  /**
   * What changes the logits before the next token is chosen from them; null where nothing does. Whoever chooses tells it by
   * `took`.
   *
   * @param ahead tokens that were planned and not taken yet, 0 or 1. Defaults to 0.
   */
  planAdjustments(ahead = 0): LogitAdjustments | null {
    if (!this.#penalized && this.#parameters.logitBias.length === 0) return null;
    const tokens = this.#adjusted;
    return { penalties: this.#parameters, tokens, answered: tokens.answered + (this.#penalized ? ahead : 0) };
  }

  /**
   * How it would draw the next token from logits that are adjusted already; null where it takes the largest of them.
   * Whoever draws tells it by `took`; until then, this and `sample` go by the same random number.
   *
   * @param ahead draws that were planned and not taken yet. Defaults to 0.
   */
  planDraw(ahead = 0): TokenDraw | null {
    const { temperature, topP, topK, minP } = this.#parameters;
    if (temperature === 0) return null;
    while (this.#toldRandoms.length <= ahead) this.#toldRandoms.push(this.#random.next());
    const random = this.#toldRandoms[ahead] as number;
    return { temperature, topP, topK, smallestWeight: smallestWeight(minP), random };
  }

  /** The next token was chosen as `planAdjustments` and `planDraw` say: `id`, or none where that is below 0. */
  took(id: number): void {
    this.#toldRandoms.shift();
    if (id >= 0) this.#count(id);
  }

  /**
   * Chooses the next token from f32 [vocabulary] logits, which stay as they are.
   * With a mask, only its tokens are chosen; the mask has to allow at least one.
   */
  sample(logits: Float32Array, mask: TokenMask | null = null): number {
    const adjusted = this.#adjust(logits, mask);
    const id = this.#parameters.temperature === 0 ? indexOfLargest(adjusted) : this.#draw(adjusted);
    this.#count(id);
    return id;
  }

  #count(id: number): void {
    if (this.#penalized) this.#adjusted.count(id);
  }

  #adjust(logits: Float32Array, mask: TokenMask | null): Float32Array {
    const adjustments = this.planAdjustments();
    if (adjustments === null && mask === null) return logits;
    if (sharedLogits.length !== logits.length) sharedLogits = new Float32Array(logits.length);
    const adjusted = sharedLogits;
    adjusted.set(logits);
    adjustments?.tokens.apply(adjusted, adjustments.penalties);
    if (mask !== null) applyTokenMask(adjusted, mask);
    return adjusted;
  }

  #draw(logits: Float32Array): number {
    const { temperature, topP, topK, minP } = this.#parameters;
    const likeliest = indexOfLargest(logits);
    const largest = logits[likeliest] as number;
    const random = this.#toldRandoms.shift() ?? this.#random.next();
    // Nothing finite to weigh: a row of -Infinity, or one with +Infinity. The largest is the only answer.
    if (!Number.isFinite(largest)) return likeliest;
    const weights = new TokenWeights(logits, largest, temperature, minP);
    const kept = topK === 0 ? logits.length : Math.min(topK, logits.length);
    if (kept === logits.length && topP === 1) return drawFromAll(weights, logits.length, random);

    const candidates = kept === logits.length ? null : indicesOfLargest(logits, kept);
    const total = candidates === null ? sumOfAll(weights, logits.length) : sumOf(weights, candidates);
    const likely = candidates ?? indicesOfLargest(logits, Math.min(SMALL_NUCLEUS, kept));
    let mass = 0;
    for (let count = 0; count < likely.length; count++) {
      mass += weights.of(likely[count] as number);
      if (mass >= topP * total) return drawFrom(weights, likely.subarray(0, count + 1), mass, random);
    }
    return drawFromNucleus(logits, weights, topP * total, random);
  }
}

function sumOfAll(weights: TokenWeights, length: number): number {
  let sum = 0;
  for (let id = 0; id < length; id++) sum += weights.of(id);
  return sum;
}

function sumOf(weights: TokenWeights, ids: Int32Array): number {
  let sum = 0;
  for (const id of ids) sum += weights.of(id);
  return sum;
}

/** The running sum that the drawn token's is the first to exceed. */
function drawnMass(random: number, sum: number): number {
  return Math.min(Math.floor(random * sum), sum - 1);
}

function drawFrom(weights: TokenWeights, likeliest: Int32Array, sum: number, random: number): number {
  const ids = likeliest.slice().sort();
  const drawn = drawnMass(random, sum);
  let mass = 0;
  let index = -1;
  while (mass <= drawn) mass += weights.of(ids[++index] as number);
  return ids[index] as number;
}

/** The first token at which the running sum exceeds `drawn`, which is less than the sum of all. */
function firstToExceed(weights: Float64Array, drawn: number): number {
  let mass = 0;
  let id = -1;
  while (mass <= drawn) mass += weights[++id] as number;
  return id;
}

function drawFromAll(weights: TokenWeights, length: number, random: number): number {
  const all = weightsOfAll(weights, length);
  let sum = 0;
  for (const weight of all) sum += weight;
  return firstToExceed(all, drawnMass(random, sum));
}

function drawFromNucleus(logits: Float32Array, weights: TokenWeights, wanted: number, random: number): number {
  const kept = weightsOfAll(weights, logits.length);
  return firstToExceed(kept, drawnMass(random, keepNucleus(logits, kept, wanted)));
}

function weightsOfAll(weights: TokenWeights, length: number): Float64Array {
  if (sharedWeights.length !== length) sharedWeights = new Float64Array(length);
  const all = sharedWeights;
  for (let id = 0; id < length; id++) all[id] = weights.of(id);
  return all;
}
