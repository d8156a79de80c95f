/**
 * Which KV blocks each sequence holds. Copies of a sequence share its blocks until one of them writes into the last.
 */

import { BlockPool } from './block-pool.ts';
import { KvCacheFullError, UnknownSequenceError } from './errors.ts';

/** Positions that a block holds (kernels/hip/parts/kv_blocks.hip, kernels/native/model.h). */
export const BLOCK_POSITIONS = 16;

/** What decides which blocks a sequence needs. */
export interface KvKinds {
  /** Layers that see everything, and layers with a window. */
  readonly fullLayers: number;
  readonly windowLayers: number;
  /** Positions that a layer with a window sees, the token itself included. */
  readonly window: number;
}

/** One sequence's KV blocks. Several rows of a pass share one object, and the entries are written once. */
export interface SequenceTables {
  /** Numbers of the blocks of layers that see everything, from the sequence's beginning. */
  readonly full: readonly number[];
  /** Numbers of the blocks of layers with a window, from block `windowFirst` of the sequence on. */
  readonly window: readonly number[];
  readonly windowFirst: number;
}

/** Enqueues the copy of a block's content to another block. */
export type CopyBlock = (from: number, to: number) => void;

interface Sequence extends SequenceTables {
  length: number;
  readonly full: number[];
  readonly window: number[];
  windowFirst: number;
}

/** Blocks that hold `tokens` positions. */
const blocksOf = (tokens: number): number => Math.ceil(tokens / BLOCK_POSITIONS);

/** The most blocks that a window reaches into. */
function windowBlocks(window: number): number {
  return Math.floor((window + BLOCK_POSITIONS - 2) / BLOCK_POSITIONS) + 1;
}

/** Blocks that one sequence of `tokens` tokens holds. */
export function blocksOfSequence(kinds: KvKinds, tokens: number): number {
  const all = blocksOf(tokens);
  const full = kinds.fullLayers > 0 ? all : 0;
  return full + (kinds.windowLayers > 0 ? Math.min(all, windowBlocks(kinds.window)) : 0);
}

/** All sequences of a runner, over one pool. Layers that see everything and layers with a window have blocks of their own. */
export class KvSequences {
  readonly #kinds: KvKinds;
  readonly #pool: BlockPool;
  readonly #sequences = new Map<number, Sequence>();
  #next = 1;

  constructor(kinds: KvKinds, blocks: number) {
    this.#kinds = kinds;
    this.#pool = new BlockPool(blocks);
  }

  /** Blocks that nobody holds. */
  get freeBlocks(): number {
    return this.#pool.free;
  }

  create(): number {
    return this.#add({ length: 0, full: [], window: [], windowFirst: 0 });
  }

  /** A copy of a sequence's first `length` tokens; null where a window has dropped what the next token would see. */
  fork(number: number, length: number): number | null {
    const source = this.#get(number);
    if (!this.#seesBackFrom(source, length)) return null;
    const full = source.full.slice(0, blocksOf(length));
    const window = source.window.slice(0, Math.max(0, blocksOf(length) - source.windowFirst));
    for (const block of [...full, ...window]) this.#pool.share(block);
    return this.#add({ length, full, window, windowFirst: length === 0 ? 0 : source.windowFirst });
  }

  /** Drops the tokens after the first `length`; false, with nothing changed, where `fork` gives null. */
  truncate(number: number, length: number): boolean {
    const sequence = this.#get(number);
    if (!this.#seesBackFrom(sequence, length)) return false;
    this.#cut(sequence, length);
    sequence.length = length;
    if (length === 0) sequence.windowFirst = 0;
    return true;
  }

  length(number: number): number {
    return this.#get(number).length;
  }

  release(number: number): void {
    const sequence = this.#get(number);
    this.#cut(sequence, 0);
    this.#sequences.delete(number);
  }

  /**
   * Makes room for more tokens of several sequences, for all or for none.
   *
   * @param copy called where a sequence is to write into a block that others hold too.
   * @throws KvCacheFullError, and what `copy` throws
   */
  reserve(wanted: readonly { readonly sequence: number; readonly more: number }[], copy: CopyBlock): void {
    try {
      for (const { sequence: number, more } of wanted) {
        const sequence = this.#get(number);
        const end = blocksOf(sequence.length + more);
        const last = Math.floor(sequence.length / BLOCK_POSITIONS);
        if (this.#kinds.fullLayers > 0) this.#grow(sequence.full, last, end, copy);
        if (this.#kinds.windowLayers > 0) {
          this.#grow(sequence.window, last - sequence.windowFirst, end - sequence.windowFirst, copy);
        }
      }
    } catch (error) {
      this.giveBack(wanted);
      throw error;
    }
  }

  /** Gives back what `reserve` took and `commit` did not come to use. */
  giveBack(wanted: readonly { readonly sequence: number }[]): void {
    for (const { sequence: number } of wanted) {
      const sequence = this.#sequences.get(number);
      if (sequence !== undefined) this.#cut(sequence, sequence.length);
    }
  }

  /** Where a sequence's blocks are. Valid until the sequences change. */
  tables(number: number): SequenceTables {
    return this.#get(number);
  }

  /** Counts tokens that were written, and frees blocks that no window reaches any more. */
  commit(number: number, more: number): void {
    const sequence = this.#get(number);
    sequence.length += more;
    const needed = Math.floor(this.#firstSeen(sequence.length) / BLOCK_POSITIONS);
    const passed = Math.min(sequence.window.length, needed - sequence.windowFirst);
    if (passed <= 0) return;
    for (const block of sequence.window.splice(0, passed)) this.#pool.release(block);
    sequence.windowFirst += passed;
  }

  /** The first position that a token at `position` sees in a layer with a window. */
  #firstSeen(position: number): number {
    return Math.max(0, position - this.#kinds.window + 1);
  }

  #seesBackFrom({ windowFirst }: Sequence, length: number): boolean {
    if (this.#kinds.windowLayers === 0 || length === 0) return true;
    return this.#firstSeen(length) >= windowFirst * BLOCK_POSITIONS;
  }

  /** Blocks up to `end`; the one at `last`, where the next token goes, is this sequence's alone. */
  #grow(blocks: number[], last: number, end: number, copy: CopyBlock): void {
    const shared = blocks[last];
    if (shared !== undefined && this.#pool.isShared(shared)) {
      const own = this.#take();
      try {
        copy(shared, own);
      } catch (error) {
        this.#pool.release(own);
        throw error;
      }
      this.#pool.release(shared);
      blocks[last] = own;
    }
    while (blocks.length < end) blocks.push(this.#take());
  }

  #cut(sequence: Sequence, length: number): void {
    const end = blocksOf(length);
    const cut = [...sequence.full.splice(end), ...sequence.window.splice(Math.max(0, end - sequence.windowFirst))];
    for (const block of cut) this.#pool.release(block);
  }

  #take(): number {
    const block = this.#pool.take();
    if (block === null) throw new KvCacheFullError(this.#pool.size * BLOCK_POSITIONS);
    return block;
  }

  #get(number: number): Sequence {
    const sequence = this.#sequences.get(number);
    if (sequence === undefined) throw new UnknownSequenceError(number);
    return sequence;
  }

  #add(sequence: Sequence): number {
    this.#sequences.set(this.#next, sequence);
    return this.#next++;
  }
}
