/** Choice scores and groups: what a row with a correction bias or expert groups ranks by. */

import type { ResolvedRouterConfig } from '../contract.ts';
import { readSoftmaxTerms, sigmoid, softmaxShare, sqrtSoftplus } from './scores.ts';
import type { SoftmaxTerms } from './scores.ts';
import { selectFromValues } from './top-k-selection.ts';

/** Turns rows of logits into rows of choice scores. Owns its scratch; one row at a time. */
export class ChoiceScorer {
  /** f32 [E]: the last row's choice scores. -Infinity for a NaN logit, NaN for an expert whose group does not stay. */
  readonly choice: Float32Array;
  readonly #config: ResolvedRouterConfig;
  readonly #terms: SoftmaxTerms = { largest: 0, sum: 0 };
  readonly #groupRanks: Float32Array;
  readonly #bestGroupRanks: Float32Array;
  readonly #bestGroups: Int32Array;
  readonly #groupStays: Uint8Array;

  constructor(config: ResolvedRouterConfig) {
    this.#config = config;
    this.choice = new Float32Array(config.experts);
    this.#groupRanks = new Float32Array(config.groups);
    this.#bestGroupRanks = new Float32Array(config.topKGroups);
    this.#bestGroups = new Int32Array(config.topKGroups);
    this.#groupStays = new Uint8Array(config.groups);
  }

  /** Fills `choice` from the E logits at `start`. */
  score(row: Float32Array, start: number): void {
    const { experts, scoring, correctionBias } = this.#config;
    const { choice } = this;
    if (scoring === 'softmax') readSoftmaxTerms(row, start, experts, this.#terms);
    const isRowEmpty = scoring === 'softmax' && this.#terms.largest === -Infinity;
    for (let expert = 0; expert < experts; expert++) {
      const logit = row[start + expert] as number;
      let score = 0;
      if (scoring === 'sigmoid') score = sigmoid(logit);
      else if (scoring === 'sqrtsoftplus') score = sqrtSoftplus(logit);
      else if (!isRowEmpty) score = softmaxShare(logit, this.#terms);
      const bias = correctionBias === null ? 0 : (correctionBias[expert] as number);
      choice[expert] = Number.isNaN(logit) ? -Infinity : Math.fround(score) + bias;
    }
    if (this.#config.topKGroups < this.#config.groups) this.#dropGroups();
  }

  #dropGroups(): void {
    const { experts, groups } = this.#config;
    const size = experts / groups;
    for (let group = 0; group < groups; group++) this.#groupRanks[group] = this.#rankGroup(group * size, size);
    selectFromValues(this.#groupRanks, 0, groups, this.#bestGroupRanks, this.#bestGroups, 0);
    this.#groupStays.fill(0);
    for (const group of this.#bestGroups) this.#groupStays[group] = 1;
    for (let group = 0; group < groups; group++) {
      if (this.#groupStays[group] === 0) this.choice.fill(NaN, group * size, (group + 1) * size);
    }
  }

  #rankGroup(start: number, size: number): number {
    let best = -Infinity;
    let second = -Infinity;
    for (let expert = start; expert < start + size; expert++) {
      const choice = this.choice[expert] as number;
      if (choice > best) {
        second = best;
        best = choice;
      } else if (choice > second) {
        second = choice;
      }
    }
    return size === 1 || this.#config.groupScore === 'max' ? best : best + second;
  }
}
