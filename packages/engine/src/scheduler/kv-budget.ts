/**
 * The KV cache's memory, counted in fixed-size blocks of tokens against one budget.
 *
 * The runner owns the memory itself; this decides who may have how much of it.
 */

import type { MemoryPlan } from '../runners/runner.ts';

/** Tokens that a block holds. */
export const KV_BLOCK_TOKENS = 16;

/** What fits, as printed at load. Survives a structured clone. */
export interface KvPlan {
  /** The budget in bytes. */
  readonly budgetBytes: number;
  readonly blockTokens: number;
  readonly weightBytes: number;
  readonly kvBytesPerToken: number;
  /** The longest sequence that fits the budget alone, at most the context, in tokens. */
  readonly longestSequence: number;
  /** Sequences of 1024 tokens (or of the longest that fits) that fit side by side. */
  readonly sequencesOf1024: number;
}

/** Hands out KV blocks to sequences. Bytes follow the runner's own plan, so that windowed layers cost what they hold. */
export class KvBudget {
  readonly plan: KvPlan;
  readonly #memory: MemoryPlan;
  readonly #tokensOf = new Map<number, number>();
  #usedBytes = 0;

  constructor(memory: MemoryPlan, budgetBytes: number, contextLength: number) {
    this.#memory = memory;
    const longestSequence = longestThatFits(memory, budgetBytes, contextLength);
    const common = Math.min(1024, longestSequence);
    this.plan = {
      budgetBytes,
      blockTokens: KV_BLOCK_TOKENS,
      weightBytes: memory.weightBytes,
      kvBytesPerToken: memory.kvBytesPerToken,
      longestSequence,
      sequencesOf1024: common === 0 ? 0 : Math.floor(budgetBytes / bytesOf(memory, common)),
    };
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Makes room for `tokens` tokens of a sequence; false, with nothing changed, where the budget is too small. */
  reserve(sequence: number, tokens: number): boolean {
    const held = this.#tokensOf.get(sequence) ?? 0;
    if (roundUp(tokens) <= held) return true;
    const growth = bytesOf(this.#memory, tokens) - (held === 0 ? 0 : bytesOf(this.#memory, held));
    if (this.#usedBytes + growth > this.plan.budgetBytes) return false;
    this.#usedBytes += growth;
    this.#tokensOf.set(sequence, roundUp(tokens));
    return true;
  }

  /** Whether a new sequence of `tokens` tokens would fit now. */
  fits(tokens: number): boolean {
    return this.#usedBytes + bytesOf(this.#memory, tokens) <= this.plan.budgetBytes;
  }

  /** Gives back everything that a sequence holds. */
  release(sequence: number): void {
    const held = this.#tokensOf.get(sequence);
    if (held === undefined) return;
    this.#usedBytes -= bytesOf(this.#memory, held);
    this.#tokensOf.delete(sequence);
  }
}

const roundUp = (tokens: number): number => Math.ceil(tokens / KV_BLOCK_TOKENS) * KV_BLOCK_TOKENS;

const bytesOf = (memory: MemoryPlan, tokens: number): number => memory.kvBytes(roundUp(tokens));

/** By bisection over whole blocks: kvBytes grows with its argument, but not evenly where windows end. */
function longestThatFits(memory: MemoryPlan, budgetBytes: number, contextLength: number): number {
  let fits = 0;
  let tooMany = Math.ceil(contextLength / KV_BLOCK_TOKENS) + 1;
  while (tooMany - fits > 1) {
    const middle = (fits + tooMany) >>> 1;
    if (memory.kvBytes(middle * KV_BLOCK_TOKENS) <= budgetBytes) fits = middle;
    else tooMany = middle;
  }
  return Math.min(contextLength, fits * KV_BLOCK_TOKENS);
}
