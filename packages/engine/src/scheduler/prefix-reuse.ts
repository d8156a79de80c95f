/**
 * Where a job's beginning comes from when it has been computed before: from kept sequences and from running ones.
 */

import type { ModelRunner } from '../runners/runner.ts';
import type { KvBudget } from './kv-budget.ts';
import { type CachedSequence, commonPrefix, PrefixCache } from './prefix-cache.ts';
import { GenerateState, type JobState } from './running-job.ts';

/** Prefixes shorter than this are computed again rather than copied. */
const SHORTEST_REUSED_PREFIX = 8;

/** The beginning of a prompt, computed already. */
interface Prefix {
  readonly sequence: number;
  readonly length: number;
  /** See `CachedSequence`. */
  readonly exact: number;
}

export interface PrefixReuseOptions {
  readonly runner: ModelRunner;
  readonly kv: KvBudget;
  /** Prompts are cut at multiples of it. */
  readonly prefillChunk: number;
  readonly maxCachedPrefixes: number;
}

/** Gives jobs their sequences and keeps those of jobs that are done. Owns the kept ones. */
export class PrefixReuse {
  readonly #runner: ModelRunner;
  readonly #kv: KvBudget;
  readonly #chunk: number;
  readonly #cache: PrefixCache;
  readonly #keepsPrompts: boolean;

  constructor({ runner, kv, prefillChunk, maxCachedPrefixes }: PrefixReuseOptions) {
    this.#runner = runner;
    this.#kv = kv;
    this.#chunk = prefillChunk;
    this.#cache = new PrefixCache(maxCachedPrefixes);
    this.#keepsPrompts =
      runner.memory.kvBytes(runner.contextLength) < runner.memory.kvBytesPerToken * runner.contextLength;
  }

  /** Gives the job a sequence: a kept one, a copy of another's beginning, or an empty one. */
  attach(state: JobState, running: readonly JobState[]): void {
    const reuses = state instanceof GenerateState && state.job.reusePrefix && !state.job.traceRouting;
    const found = reuses ? this.#find(state, running) : null;
    state.sequence = found?.sequence ?? this.#runner.createSequence();
    state.computed = found?.length ?? 0;
    state.begunWith = state.computed;
    state.exactAtStart = this.#wholeChunks(Math.min(found?.exact ?? 0, state.computed));
    state.startedExact = state.exactAtStart === state.computed;
  }

  /** Takes the sequence of a job that is done: kept where the job allows it, released otherwise. */
  detach(state: JobState): void {
    const { sequence } = state;
    if (sequence === null) return;
    if (state instanceof GenerateState && state.job.reusePrefix) {
      this.#keep({ sequence, tokens: state.slice(0, state.computed), exact: this.#exactTokens(state) });
    } else this.release(sequence);
  }

  /** Where windows drop old positions, a copy at the prompt's end is what the next turn can start from. */
  keepPrompt(state: GenerateState): void {
    if (!this.#keepsPrompts || !state.job.reusePrefix || state.sequence === null) return;
    const tokens = state.job.prompt.length;
    if (tokens < SHORTEST_REUSED_PREFIX || !this.#kv.fits(tokens)) return;
    const copy = this.#runner.forkSequence(state.sequence, tokens);
    if (copy === null) return;
    this.#kv.reserve(copy, tokens);
    this.#keep({ sequence: copy, tokens: state.job.prompt, exact: this.#exactTokens(state) });
  }

  /** Gives up the kept sequence that was used longest ago; false where there is none. */
  evict(): boolean {
    const evicted = this.#cache.evict();
    if (evicted !== null) this.release(evicted.sequence);
    return evicted !== null;
  }

  /** Gives a sequence and its memory back. */
  release(sequence: number): void {
    this.#kv.release(sequence);
    this.#runner.releaseSequence(sequence);
  }

  #find(state: GenerateState, running: readonly JobState[]): Prefix | null {
    // At least one token has to be computed: its logits choose the next.
    const wanted = state.slice(0, state.required - 1);
    const usable = (length: number, exact: number): number =>
      state.job.reproducible ? this.#wholeChunks(Math.min(length, exact)) : length;
    for (const { entry, length: shared } of this.#cache.matches(wanted, SHORTEST_REUSED_PREFIX)) {
      const { exact } = entry;
      const length = usable(shared, exact);
      if (length < SHORTEST_REUSED_PREFIX) continue;
      if (length === entry.tokens.length) {
        this.#cache.take(entry);
        return { sequence: entry.sequence, length, exact };
      }
      const sequence = this.#runner.forkSequence(entry.sequence, length);
      if (sequence !== null) {
        this.#cache.touch(entry);
        return { sequence, length, exact };
      }
    }
    let best: Prefix | null = null;
    for (const other of running) {
      if (other.sequence === null || other === state || other.underWay > 0) continue;
      const exact = this.#exactTokens(other);
      const length = usable(commonPrefix(other.slice(0, other.computed), wanted), exact);
      if (length >= Math.max(SHORTEST_REUSED_PREFIX, (best?.length ?? 0) + 1))
        best = { sequence: other.sequence, length, exact };
    }
    if (best === null) return null;
    const sequence = this.#runner.forkSequence(best.sequence, best.length);
    return sequence === null ? null : { ...best, sequence };
  }

  #keep(entry: CachedSequence): void {
    for (const dropped of this.#cache.add(entry)) this.release(dropped.sequence);
  }

  #wholeChunks(tokens: number): number {
    return tokens - (tokens % this.#chunk);
  }

  /** How many tokens of a job's sequence are exact: see `CachedSequence`. */
  #exactTokens(state: JobState): number {
    if (!(state instanceof GenerateState)) return 0;
    if (!state.startedExact) return state.exactAtStart;
    return this.#wholeChunks(Math.min(state.computed, state.job.prompt.length));
  }
}
