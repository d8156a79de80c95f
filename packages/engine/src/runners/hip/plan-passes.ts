/**
 * Cuts a step into passes over the layers: each within the rows, partial results and tables that there is room for.
 */

import type { SequenceTables } from '../kv-sequences.ts';
import type { LogitsStep, LogitsWanted } from '../logits-runner.ts';
import { MOST_PARTIALS, MOST_SPLIT_ROWS, MOST_VECTOR_ROWS, partialsAt } from './sizes.ts';
import { MOST_ADJUSTMENT_WORDS, adjustmentWords } from './step-adjustments.ts';
import { MOST_ROWS, MOST_TABLE_WORDS, type StepRow, tableWords } from './step-block.ts';

/**
 * How rows are computed: a vector each, or by matrix tiles that read activations rounded to bf16, or split into several terms of
 * it. The sums of each are rounded differently.
 */
export type PassKind = 'vectors' | 'roundedTiles' | 'splitTiles';

/** A row of a pass, and whose it is. */
export interface PassRow extends StepRow {
  /** The entry of the batch. */
  readonly entry: number;
  /** The row's place among the entry's tokens, and among all of the batch. */
  readonly offset: number;
  readonly place: number;
}

/** Rows that go through the layers together. */
export interface Pass {
  readonly kind: PassKind;
  readonly rows: readonly PassRow[];
}

/** Entries of at least this many tokens are computed by matrix tiles, where there are any. */
export const FEWEST_TILE_TOKENS = 32;

/** What passes by matrix tiles there are. */
export interface TileRule {
  /** Activations of entries of more tokens than this are rounded, of others split. */
  readonly mostSplitTokens: number;
}

/** The entry's piece alone decides, so that a row's result does not depend on what else is in the step. */
export function passKindOf(tokens: number, tiles: TileRule | null): PassKind {
  if (tiles === null || tokens < FEWEST_TILE_TOKENS) return 'vectors';
  return tokens > tiles.mostSplitTokens ? 'roundedTiles' : 'splitTiles';
}

/**
 * All rows of a batch, in passes; those of a kind in the order of the batch. A sequence's rows are all of one kind and stand
 * in ascending positions, so that each pass finds what the one before has written.
 *
 * @param lengthOf tokens that a sequence has before the step.
 * @param tablesOf where its blocks are, room for the step included.
 * @param tiles null where there are no passes by matrix tiles.
 */
export function planPasses(
  batch: readonly LogitsStep[],
  lengthOf: (sequence: number) => number,
  tablesOf: (sequence: number) => SequenceTables,
  tiles: TileRule | null = null,
): readonly Pass[] {
  const cutters: Readonly<Record<PassKind, PassCutter>> = {
    roundedTiles: new PassCutter('roundedTiles'),
    splitTiles: new PassCutter('splitTiles'),
    vectors: new PassCutter('vectors'),
  };
  let place = 0;
  for (const [entry, step] of batch.entries()) {
    const { sequence, tokens, logits = 'last', piece } = step;
    const cutter = cutters[passKindOf(piece ?? tokens.length, tiles)];
    const first = lengthOf(sequence);
    const tables = tablesOf(sequence);
    for (const [offset, token] of tokens.entries()) {
      const position = first + offset;
      const isLast = offset === tokens.length - 1;
      const wanted = wantedOf(logits, isLast);
      const chosen = wanted === 'token' ? choiceOf(step) : {};
      const of = { token, position, partials: partialsAt(position), tables, entry, offset, place: place++ };
      cutter.add({ ...of, wanted, ...chosen });
    }
  }
  return Object.values(cutters).flatMap((cutter) => cutter.end());
}

/** The most rows of a pass. */
const MOST_ROWS_OF: Readonly<Record<PassKind, number>> = {
  vectors: MOST_VECTOR_ROWS,
  roundedTiles: MOST_ROWS,
  splitTiles: MOST_SPLIT_ROWS,
};

/** Passes of one kind. */
class PassCutter {
  readonly #kind: PassKind;
  readonly #passes: Pass[] = [];
  #rows: PassRow[] = [];
  #partials = 0;
  #words = 0;
  #adjustmentWords = 0;

  constructor(kind: PassKind) {
    this.#kind = kind;
  }

  add(row: PassRow): void {
    // Rows of a sequence follow each other.
    const isListed = this.#rows.at(-1)?.tables === row.tables;
    const words = tableWords(row.tables);
    const ofAdjustments = adjustmentWords(row);
    const hasRoom =
      this.#hasRoom(row.partials, isListed ? 0 : words) &&
      this.#adjustmentWords + ofAdjustments <= MOST_ADJUSTMENT_WORDS;
    if (this.#rows.length > 0 && !hasRoom) this.#cut();
    if (this.#rows.at(-1)?.tables !== row.tables) this.#words += words;
    this.#partials += row.partials;
    this.#adjustmentWords += ofAdjustments;
    this.#rows.push(row);
  }

  end(): readonly Pass[] {
    if (this.#rows.length > 0) this.#cut();
    return this.#passes;
  }

  #hasRoom(partials: number, words: number): boolean {
    if (this.#words + words > MOST_TABLE_WORDS || this.#rows.length === MOST_ROWS_OF[this.#kind]) return false;
    // Attention by matrix tiles leaves no partial results.
    return this.#kind !== 'vectors' || this.#partials + partials <= MOST_PARTIALS;
  }

  #cut(): void {
    this.#passes.push({ kind: this.#kind, rows: this.#rows });
    this.#rows = [];
    this.#partials = 0;
    this.#words = 0;
    this.#adjustmentWords = 0;
  }
}

/** How the token of an entry's last row is chosen, where that is not the largest logit as it comes. */
function choiceOf({ logits, draw, adjustments, mask }: LogitsStep): Pick<StepRow, 'draw' | 'adjustments' | 'mask'> {
  return {
    ...(logits === 'drawn' && draw !== undefined ? { draw } : {}),
    ...(adjustments === undefined ? {} : { adjustments }),
    ...(mask === undefined ? {} : { mask }),
  };
}

function wantedOf(logits: LogitsWanted, isLast: boolean): StepRow['wanted'] {
  if (logits === 'all') return 'logits';
  if (logits === 'none' || !isLast) return 'nothing';
  return logits === 'last' ? 'logits' : 'token';
}
