/**
 * The part of the step block that changes rows of logits before tokens are chosen from them: what penalties and biases do, and
 * masks. It lies behind the draws, and only where a row has any (kernels/hip/adjust.hip, mask.hip).
 */

import { ENTRY_WORDS, type LogitAdjustments } from '../../sampling/adjusted-tokens.ts';
import type { TokenMask } from '../../sampling/token-mask.ts';

/** Where things are, in words, for the kernels that take them. 0 at STEP_ADJUSTMENTS or STEP_MASKS says that no row has any. */
export const ADJUSTMENT_PLACES = {
  STEP_ADJUSTMENTS: 3,
  STEP_MASKS: 4,
  /** Of a row: repetition, presence and frequency penalty in f64, where its entries are, how many, whether its own token counts. */
  STEP_ADJUSTMENT_WORDS: 10,
  STEP_ENTRY_WORDS: ENTRY_WORDS,
  /** Of a row: where its mask is, 0 for none, and of how many words. */
  STEP_MASK_WORDS: 2,
} as const;

/** The most entries of a row when its step is planned: with one more and a mask they fit a pass. */
export const MOST_ADJUSTED_TOKENS = 2 ** 17;
/** Words of a mask that count: no vocabulary has more (check-shape.ts). */
const MOST_MASK_WORDS = 2 ** 18 / 32;
/** The most words of entries and masks that the rows of a pass have together: for 64 rows, masks and 2500 tokens of each. */
export const MOST_ADJUSTMENT_WORDS = 2 ** 20;

/** The most words of all that is written for so many rows. One may be left out: places of f64 are even. */
export function mostAdjustmentWords(mostRows: number): number {
  const { STEP_ADJUSTMENT_WORDS, STEP_MASK_WORDS } = ADJUSTMENT_PLACES;
  return MOST_ADJUSTMENT_WORDS + 1 + mostRows * (STEP_ADJUSTMENT_WORDS + STEP_MASK_WORDS);
}

/** What a row has of it. */
export interface RowAdjustments {
  readonly adjustments?: LogitAdjustments;
  readonly mask?: TokenMask;
}

/** Words of a row's entries and mask, the token included that may become known before they are written. */
export function adjustmentWords({ adjustments, mask }: RowAdjustments): number {
  const ofEntries = adjustments === undefined ? 0 : (adjustments.tokens.size + 1) * ENTRY_WORDS;
  return ofEntries + (mask === undefined ? 0 : Math.min(mask.length, MOST_MASK_WORDS));
}

/** Whether anything changes the logits of some row. */
export function hasAdjustments(rows: readonly RowAdjustments[]): boolean {
  return rows.some(({ adjustments, mask }) => adjustments !== undefined || mask !== undefined);
}

/**
 * Writes what there is for each wanted row.
 *
 * @param begin the first word that is free.
 * @returns the end.
 */
export function writeAdjustments(words: Int32Array, wanted: readonly RowAdjustments[], begin: number): number {
  const end = writeEntries(words, wanted, begin);
  return writeMasks(words, wanted, end);
}

function writeEntries(words: Int32Array, wanted: readonly RowAdjustments[], begin: number): number {
  const { STEP_ADJUSTMENTS, STEP_ADJUSTMENT_WORDS } = ADJUSTMENT_PLACES;
  words[STEP_ADJUSTMENTS] = 0;
  if (wanted.every(({ adjustments }) => adjustments === undefined)) return begin;
  let row = begin + (begin % 2);
  words[STEP_ADJUSTMENTS] = row;
  let end = row + wanted.length * STEP_ADJUSTMENT_WORDS;
  for (const { adjustments } of wanted) {
    if (adjustments === undefined) {
      words.fill(0, row, row + STEP_ADJUSTMENT_WORDS);
    } else {
      const { penalties, tokens, answered } = adjustments;
      const { repetitionPenalty, presencePenalty, frequencyPenalty } = penalties;
      const numbers = new Float64Array(words.buffer, words.byteOffset + 4 * row, 3);
      numbers.set([repetitionPenalty, presencePenalty, frequencyPenalty]);
      words.set([end, tokens.size, answered > tokens.answered ? 1 : 0], row + 6);
      words.set(tokens.entries, end);
      end += tokens.size * ENTRY_WORDS;
    }
    row += STEP_ADJUSTMENT_WORDS;
  }
  return end;
}

function writeMasks(words: Int32Array, wanted: readonly RowAdjustments[], begin: number): number {
  const { STEP_MASKS, STEP_MASK_WORDS } = ADJUSTMENT_PLACES;
  words[STEP_MASKS] = 0;
  if (wanted.every(({ mask }) => mask === undefined)) return begin;
  words[STEP_MASKS] = begin;
  let end = begin + wanted.length * STEP_MASK_WORDS;
  for (const [index, { mask }] of wanted.entries()) {
    const row = begin + index * STEP_MASK_WORDS;
    if (mask === undefined) {
      words.fill(0, row, row + STEP_MASK_WORDS);
      continue;
    }
    const bits = new Int32Array(mask.buffer, mask.byteOffset, Math.min(mask.length, MOST_MASK_WORDS));
    words.set([end, bits.length], row);
    words.set(bits, end);
    end += bits.length;
  }
  return end;
}
