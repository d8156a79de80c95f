/** The weights of a row's winners, from their logits. */

import { MAX_F32, RENORMALIZE_EPSILON } from '../contract.ts';
import type { ResolvedRouterConfig } from '../contract.ts';
import { readSoftmaxTerms, sigmoid, softmaxShare, sqrtSoftplus } from './scores.ts';
import type { SoftmaxTerms } from './scores.ts';

/** Computes weights as one configuration asks for them. Owns its scratch; one row at a time. */
export class WeightWriter {
  /** f32 [K]: the winners' logits, to be set before `write`. */
  readonly winnerLogits: Float32Array;
  readonly #config: ResolvedRouterConfig;
  readonly #scale: number;
  readonly #terms: SoftmaxTerms = { largest: 0, sum: 0 };

  constructor(config: ResolvedRouterConfig) {
    this.#config = config;
    this.#scale = Math.fround(config.routedScalingFactor);
    this.winnerLogits = new Float32Array(config.topK);
  }

  /**
   * Writes the K weights of `winnerLogits`.
   *
   * @param row the row's logits as f32, E from `start`; read where the weights depend on more than the winners
   * @param out receives K weights from `outStart`
   */
  write(row: Float32Array, start: number, out: Float32Array, outStart: number): void {
    const { scoring, renormalize, experts, topK } = this.#config;
    if (scoring === 'softmax') {
      if (renormalize) this.#writeSoftmax(this.winnerLogits, 0, topK, out, outStart);
      else this.#writeSoftmax(row, start, experts, out, outStart);
    } else if (this.#isRowEmpty(row, start)) {
      this.#writeEqualShares(out, outStart);
    } else if (renormalize) {
      this.#writeRenormalized(out, outStart);
    } else {
      for (let k = 0; k < topK; k++) this.#store(out, outStart + k, this.#score(k));
    }
  }

  /** The winners' shares of the softmax over `count` logits from `start`. */
  #writeSoftmax(over: Float32Array, start: number, count: number, out: Float32Array, outStart: number): void {
    const { winnerLogits } = this;
    readSoftmaxTerms(over, start, count, this.#terms);
    if (this.#terms.largest === -Infinity) {
      this.#writeEqualShares(out, outStart);
      return;
    }
    for (let k = 0; k < winnerLogits.length; k++) {
      this.#store(out, outStart + k, softmaxShare(winnerLogits[k] as number, this.#terms));
    }
  }

  #writeEqualShares(out: Float32Array, outStart: number): void {
    const { topK } = this.#config;
    for (let k = 0; k < topK; k++) this.#store(out, outStart + k, 1 / topK);
  }

  #writeRenormalized(out: Float32Array, outStart: number): void {
    const { scoring, topK } = this.#config;
    const { winnerLogits } = this;
    let sum = 0;
    let infinite = 0;
    for (let k = 0; k < topK; k++) {
      sum += this.#score(k);
      if (winnerLogits[k] === Infinity) infinite++;
    }
    const divisor = Math.max(sum, RENORMALIZE_EPSILON);
    const sharesInfinity = scoring === 'sqrtsoftplus' && infinite > 0;
    for (let k = 0; k < topK; k++) {
      if (sharesInfinity) this.#store(out, outStart + k, winnerLogits[k] === Infinity ? 1 / infinite : 0);
      else this.#store(out, outStart + k, this.#score(k) / divisor);
    }
  }

  /** Sigmoid or sqrtsoftplus of winner k. */
  #score(k: number): number {
    const logit = this.winnerLogits[k] as number;
    return this.#config.scoring === 'sigmoid' ? sigmoid(logit) : sqrtSoftplus(logit);
  }

  /** Whether no logit of the row is above -Infinity. A winner above it settles that without a look at the row. */
  #isRowEmpty(row: Float32Array, start: number): boolean {
    for (const logit of this.winnerLogits) if (logit > -Infinity) return false;
    // Without bias and groups the winners are the row's best logits; with them `row` holds the whole row.
    if (this.#config.correctionBias === null && this.#config.groups === 1) return true;
    for (let expert = 0; expert < this.#config.experts; expert++) {
      if ((row[start + expert] as number) > -Infinity) return false;
    }
    return true;
  }

  #store(out: Float32Array, position: number, weight: number): void {
    out[position] = Math.min(Math.max(weight * this.#scale, -MAX_F32), MAX_F32);
  }
}
