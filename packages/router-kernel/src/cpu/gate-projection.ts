/** The gate projection on the host's CPU, in the order of addition that gate-contract.ts gives. */

import { GATE_PARTIAL_SUMS, GATE_PIECE_COLUMNS } from '../gate/gate-contract.ts';
import type { HiddenStates, ResolvedGatedRouterConfig } from '../gate/gate-contract.ts';
import { bf16ToF32 } from '../number-formats.ts';

/** Forms logits of one gate. */
export class GateProjection {
  readonly #hiddenSize: number;
  readonly #experts: number;
  readonly #isBf16: boolean;
  /** f32 [E, H]: widened once. */
  readonly #weight: Float32Array;
  readonly #bias: Float32Array | null;
  /** The hidden state at hand, f32 [H]. */
  readonly #row: Float32Array;
  readonly #partialSums = new Float32Array(GATE_PARTIAL_SUMS);

  constructor({ hiddenSize, hiddenDtype, gateWeight, gateBias, router }: ResolvedGatedRouterConfig) {
    this.#hiddenSize = hiddenSize;
    this.#experts = router.experts;
    this.#isBf16 = hiddenDtype === 'bf16';
    this.#weight = Float32Array.from(gateWeight, bf16ToF32);
    this.#bias = gateBias;
    this.#row = new Float32Array(hiddenSize);
  }

  /** The logits of T hidden states, f32 [T, E]. */
  project(hidden: HiddenStates, tokens: number, rowStride: number): Float32Array {
    const logits = new Float32Array(tokens * this.#experts);
    const row = this.#row;
    for (let token = 0; token < tokens; token++) {
      const start = token * rowStride;
      for (let column = 0; column < row.length; column++) {
        const stored = hidden[start + column] as number;
        row[column] = this.#isBf16 ? bf16ToF32(stored) : stored;
      }
      for (let expert = 0; expert < this.#experts; expert++) {
        const sum = this.#logit(expert);
        const bias = this.#bias;
        logits[token * this.#experts + expert] = bias === null ? sum : sum + (bias[expert] as number);
      }
    }
    return logits;
  }

  /** The sum of one expert, without its bias. */
  #logit(expert: number): number {
    const row = this.#row;
    const weight = this.#weight;
    const sums = this.#partialSums.fill(0);
    const start = expert * this.#hiddenSize;
    for (let first = 0; first < row.length; first += GATE_PIECE_COLUMNS) {
      const lane = (first / GATE_PIECE_COLUMNS) % GATE_PARTIAL_SUMS;
      let sum = sums[lane] as number;
      for (let column = first; column < first + GATE_PIECE_COLUMNS; column++) {
        // The product of an f32 and a bf16 is exact in f64, which leaves one rounding to f32: as a fused multiply-add has.
        sum = Math.fround((row[column] as number) * (weight[start + column] as number) + sum);
      }
      sums[lane] = sum;
    }
    for (let step = 1; step < GATE_PARTIAL_SUMS; step *= 2) {
      for (let lane = 0; lane < GATE_PARTIAL_SUMS; lane += 2 * step) {
        sums[lane] = (sums[lane] as number) + (sums[lane + step] as number);
      }
    }
    return sums[0] as number;
  }
}
