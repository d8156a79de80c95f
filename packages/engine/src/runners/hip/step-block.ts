/**
 * The step block: all that differs from step to step, in one block of i32 words that the kernels read
 * (kernels/hip/parts/step.hip). Described here once; kernels get the places as macros.
 */

import type { TokenDraw } from '../../sampling/token-draw.ts';
import type { SequenceTables } from '../kv-sequences.ts';
import { type RowAdjustments, mostAdjustmentWords, writeAdjustments } from './step-adjustments.ts';

/** The most rows (tokens) of one pass over the layers. A step of more is computed in several. */
export const MOST_ROWS = 2048;
/** The most table entries that the rows of a pass have together: 4 million tokens' worth. */
export const MOST_TABLE_WORDS = 2 ** 18;

const HEADER_WORDS = 16;
const column = (index: number): number => HEADER_WORDS + index * MOST_ROWS;

/** Where things are, in words; step-adjustments.ts has two more of the header. A column has an entry for each row. */
export const STEP_PLACES = {
  STEP_ROWS: 0,
  STEP_WANTED: 1,
  STEP_DRAWS: 2,
  /** Of a draw: temperature, top-p, random number and smallest weight in f64, top-k; of even length. */
  STEP_DRAW_WORDS: 10,
  STEP_TOKENS: column(0),
  STEP_POSITIONS: column(1),
  STEP_FULL_TABLES: column(2),
  STEP_WINDOW_TABLES: column(3),
  STEP_PARTIALS: column(4),
  STEP_WANTED_ROWS: column(5),
  STEP_SETTLED: column(6),
  STEP_RUNS: column(7),
  STEP_RUN_FACTOR: 65_536,
} as const;

const FIRST_TABLE = column(8);
/** Bytes of the largest step block. A word may be left out before the draws, which begin at even ones. */
export const STEP_BYTES =
  (FIRST_TABLE + MOST_TABLE_WORDS + 1 + MOST_ROWS * STEP_PLACES.STEP_DRAW_WORDS + mostAdjustmentWords(MOST_ROWS)) * 4;

/** One row of a pass. What changes its logits is for rows of which a token is wanted. */
export interface StepRow extends RowAdjustments {
  /** Its id; below 0, -1 - the place of a token that a pass before has chosen. */
  readonly token: number;
  readonly position: number;
  /** What is wanted of it: nothing, its logits, or the token of the largest. */
  readonly wanted: 'nothing' | 'logits' | 'token';
  /** How the token is drawn. Without it, the largest logit's is taken. */
  readonly draw?: TokenDraw;
  /** The most partial results that attention leaves of the row in a layer: see partialsAt. */
  readonly partials: number;
  readonly tables: SequenceTables;
}

/** Words of a sequence's tables. */
export function tableWords({ full, window }: SequenceTables): number {
  return full.length + window.length;
}

/**
 * Writes a pass's step block.
 *
 * @param words i32, at least as many as STEP_BYTES has; they begin at a multiple of 8 bytes.
 * @param rows at most MOST_ROWS, with at most MOST_TABLE_WORDS of tables. Those of a sequence share
 * one object of tables, and come in ascending positions.
 * @returns the bytes written, from the beginning.
 */
export function writeStep(words: Int32Array, rows: readonly StepRow[]): number {
  const places = new Map<
    SequenceTables,
    { readonly full: number; readonly window: number; readonly settled: number }
  >();
  let end = FIRST_TABLE;
  let wanted = 0;
  let partials = 0;
  for (const [row, { token, position, wanted: rowWants, partials: ofRow, tables }] of rows.entries()) {
    let place = places.get(tables);
    if (place === undefined) {
      place = { full: end, window: end + tables.full.length - tables.windowFirst, settled: position };
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
    words[STEP_PLACES.STEP_SETTLED + row] = place.settled;
    partials += ofRow;
    if (rowWants !== 'nothing') {
      words[STEP_PLACES.STEP_WANTED_ROWS + wanted] = row;
      wanted++;
    }
  }
  words[STEP_PLACES.STEP_ROWS] = rows.length;
  words[STEP_PLACES.STEP_WANTED] = wanted;
  words[STEP_PLACES.STEP_DRAWS] = 0;
  const ofWanted = rows.filter((row) => row.wanted !== 'nothing');
  const drawsEnd = ofWanted.some(({ draw }) => draw !== undefined) ? writeDraws(words, ofWanted, end) : end;
  return writeAdjustments(words, ofWanted, drawsEnd) * 4;
}

/** Writes a draw for each wanted row behind the tables; a temperature of 0 takes the largest. Returns the end. */
function writeDraws(words: Int32Array, wanted: readonly StepRow[], tablesEnd: number): number {
  let end = tablesEnd + (tablesEnd % 2);
  words[STEP_PLACES.STEP_DRAWS] = end;
  for (const { draw } of wanted) {
    const numbers = new Float64Array(words.buffer, words.byteOffset + 4 * end, 4);
    numbers.set(draw === undefined ? [0, 1, 0, 0] : [draw.temperature, draw.topP, draw.random, draw.smallestWeight]);
    words[end + 8] = draw?.topK ?? 0;
    end += STEP_PLACES.STEP_DRAW_WORDS;
  }
  return end;
}

/**
 * Writes the runs of a pass's rows beside its step block: neighbouring rows of one sequence, each with the position behind
 * that of the row before.
 *
 * @param most rows of a run.
 * @returns how many runs there are: at most as many as rows.
 */
export function writeRuns(words: Int32Array, rows: readonly StepRow[], most: number): number {
  let runs = 0;
  let count = 0;
  for (const [row, { position, tables }] of rows.entries()) {
    const before = rows[row - 1];
    const goesOn = before !== undefined && before.tables === tables && before.position + 1 === position;
    if (!goesOn || count === most) {
      runs++;
      count = 0;
    }
    count++;
    words[STEP_PLACES.STEP_RUNS + runs - 1] = count * STEP_PLACES.STEP_RUN_FACTOR + row - count + 1;
  }
  return runs;
}
