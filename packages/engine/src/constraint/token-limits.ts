/**
 * Tokens that a request allows or bans by itself, whatever else its answer is held to.
 */

import type { HarmonyTokens } from '@switchyard/models';
import { allowToken, type TokenMask, tokenMaskWords } from '../sampling/token-mask.ts';
import type { TokenConstraint } from './token-constraint.ts';

/** Survives a structured clone. */
export interface TokenLimits {
  /** The only tokens that may come, end tokens among them if they may; null for any. */
  readonly allowed: readonly number[] | null;
  /** Sequences of tokens, none empty, that may not come whole. Headers of harmony are no part of them. */
  readonly banned: readonly (readonly number[])[];
  /** Whether the answer starts within a harmony header. */
  readonly startsInHeader: boolean;
}

/**
 * Narrows another constraint's mask, or that of all tokens. Where a grammar leaves only tokens that would end a banned
 * sequence, the grammar wins: an answer has to go on.
 */
export class LimitedTokens implements TokenConstraint {
  readonly #base: TokenConstraint | null;
  readonly #limits: TokenLimits;
  readonly #control: HarmonyTokens;
  readonly #allowed: TokenMask;
  /** The last tokens of the body in progress: as many as the longest banned sequence needs. */
  #recent: number[] = [];
  readonly #longest: number;
  #inHeader: boolean;

  /**
   * @param vocabularySize Of the logits.
   * @param tokens Ids below it have a token.
   */
  constructor(
    base: TokenConstraint | null,
    limits: TokenLimits,
    control: HarmonyTokens,
    vocabularySize: number,
    tokens: number,
  ) {
    this.#base = base;
    this.#limits = limits;
    this.#control = control;
    this.#inHeader = limits.startsInHeader;
    this.#longest = Math.max(0, ...limits.banned.map(({ length }) => length));
    this.#allowed = new Uint32Array(tokenMaskWords(vocabularySize));
    if (limits.allowed === null) for (let id = 0; id < tokens; id += 1) allowToken(this.#allowed, id);
    else for (const id of limits.allowed) allowToken(this.#allowed, id);
  }

  get ready(): Promise<void> {
    return this.#base?.ready ?? Promise.resolve();
  }

  mask(): TokenMask | null {
    const base = this.#base?.mask() ?? null;
    const banned = this.#inHeader ? [] : this.#bannedNow();
    if (banned.length === 0 && this.#limits.allowed === null) return base;
    const allowed = base === null ? this.#allowed : intersection(base, this.#allowed);
    if (banned.length === 0) return allowed;
    const narrowed = allowed.slice();
    for (const id of banned) narrowed[id >>> 5] = (narrowed[id >>> 5] ?? 0) & ~(1 << (id & 31));
    return narrowed.some((word) => word !== 0) ? narrowed : allowed;
  }

  accept(token: number): void {
    this.#base?.accept(token);
    const control = this.#control;
    if (token === control.start || token === control.channel) this.#inHeader = true;
    else if (token === control.message) {
      this.#inHeader = false;
      this.#recent = [];
    } else if (!this.#inHeader && this.#longest > 1) {
      this.#recent.push(token);
      if (this.#recent.length >= this.#longest) this.#recent.shift();
    }
  }

  [Symbol.dispose](): void {
    this.#base?.[Symbol.dispose]();
  }

  /** The tokens that would end a banned sequence. */
  #bannedNow(): number[] {
    return this.#limits.banned.flatMap((sequence) => {
      const before = sequence.slice(0, -1);
      const recent = before.length === 0 ? [] : this.#recent.slice(-before.length);
      const last = sequence.at(-1);
      const comes = recent.length === before.length && before.every((id, index) => id === recent[index]);
      return comes && last !== undefined ? [last] : [];
    });
  }
}

/** The tokens of both masks; of the first alone where they have none in common. */
function intersection(mask: TokenMask, other: TokenMask): TokenMask {
  const both = mask.map((word, index) => word & (other[index] ?? 0));
  return both.some((word) => word !== 0) ? both : mask;
}
