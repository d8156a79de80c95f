/**
 * The step block: all that differs from step to step, in one block of i32 words that the kernels read
 * (kernels/hip/parts/step.hip). Described here once; kernels get the places as macros.
 */

import type { SequenceTables } from '../kv-sequences.ts';

/** The most rows (tokens) of one pass over the layers. A step of more is computed in several. */
export const MOST_ROWS = 512;
/** The most table entries that the rows of a pass have together: 4 million tokens' worth. */
export const MOST_TABLE_WORDS = 2 ** 18;

const HEADER_WORDS = 16;
const column = (index: number): number => HEADER_WORDS + index * MOST_ROWS;

/** Where things are, in words. A column has an entry for each row. */
export const STEP_PLACES = {
  STEP_ROWS: 0,
  STEP_WANTED: 1,
  STEP_TOKENS: column(0),
  STEP_POSITIONS: column(1),
  STEP_FULL_TABLES: column(2),
  STEP_WINDOW_TABLES: column(3),
  STEP_PARTIALS: column(4),
  STEP_WANTED_ROWS: column(5),
} as const;

const FIRST_TABLE = column(6);
/** Bytes of the largest step block. */
export const STEP_BYTES = (FIRST_TABLE + MOST_TABLE_WORDS) * 4;

/** One row of a pass. */
export interface StepRow {
  readonly token: number;
  readonly position: number;
  /** What is wanted of it: nothing, its logits, or the token of the largest. */
  readonly wanted: 'nothing' | 'logits' | 'token';
  /** Chunks of keys that attention cuts the row into in layers that see everything. */
  readonly chunks: number;
  readonly tables: SequenceTables;
}

/** Words of a sequence's tables. */
export function tableWords({ full, window }: SequenceTables): number {
  return full.length + window.length;
}

/**
 * Writes a pass's step block.
 *
 * @param words i32, at least as many as STEP_BYTES has.
 * @param rows at most MOST_ROWS, with at most MOST_TABLE_WORDS of tables.
 * @returns the bytes written, from the beginning.
 */
export function writeStep(words: Int32Array, rows: readonly StepRow[]): number {
  const places = new Map<SequenceTables, { readonly full: number; readonly window: number }>();
  let end = FIRST_TABLE;
  let wanted = 0;
  let partials = 0;
  for (const [row, { token, position, wanted: rowWants, chunks, tables }] of rows.entries()) {
    let place = places.get(tables);
    if (place === undefined) {
      place = { full: end, window: end + tables.full.length - tables.windowFirst };
      words.set(tables.full, end);
      words.set(tables.window, end + tables.full.length);
      end += tableWords(tables);
      places.set(tables, place);
    }
    words[STEP_PLACES.STEP_TOKENS + row] = token;
    words[STEP_PLACES.STEP_POSITIONS + row] = position;
    words[STEP_PLACES.STEP_FULL_TABLES + row] = place.full;
    words[STEP_PLACES.STEP_WINDOW_TABLES + row] = place.window;
    words[STEP_PLACES.STEP_PARTIALS + row] = partials;
    partials += chunks;
    if (rowWants !== 'nothing') {
      words[STEP_PLACES.STEP_WANTED_ROWS + wanted] = row;
      wanted++;
    }
  }
  words[STEP_PLACES.STEP_ROWS] = rows.length;
  words[STEP_PLACES.STEP_WANTED] = wanted;
  return end * 4;
}
