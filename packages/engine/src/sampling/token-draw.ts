/**
 * A draw that whoever has the logits can make: what a sampler would do with them, as numbers.
 */

/** How the next token is drawn from a row of logits; sampler.ts has the rules. Survives a structured clone. */
export interface TokenDraw {
  /** Above 0. */
  readonly temperature: number;
  /** Above 0 to 1, which switches it off. */
  readonly topP: number;
  /** 0 (off) and up. */
  readonly topK: number;
  /** The smallest weight that min-p leaves: a whole number from 0 to 2^35. */
  readonly smallestWeight: number;
  /** The request's next random number, in [0, 1). */
  readonly random: number;
}
