/**
 * Cuts a step into passes over the layers: each within the rows, chunks and tables that there is room for.
 */

import type { SequenceTables } from '../kv-sequences.ts';
import type { LogitsStep, LogitsWanted } from '../logits-runner.ts';
import { MOST_CHUNKS, chunksAt } from './sizes.ts';
import { MOST_ROWS, MOST_TABLE_WORDS, type StepRow, tableWords } from './step-block.ts';

/** A row of a pass, and whose it is. */
export interface PassRow extends StepRow {
  /** The entry of the batch. */
  readonly entry: number;
  /** The row's place among the entry's tokens. */
  readonly offset: number;
}

/**
 * All rows of a batch in its order, in passes. A sequence's rows stand in ascending positions, so that each pass finds what
 * the one before has written.
 *
 * @param lengthOf tokens that a sequence has before the step.
 * @param tablesOf where its blocks are, room for the step included.
 */
export function planPasses(
  batch: readonly LogitsStep[],
  lengthOf: (sequence: number) => number,
  tablesOf: (sequence: number) => SequenceTables,
): PassRow[][] {
  const passes: PassRow[][] = [];
  let pass: PassRow[] = [];
  let chunks = 0;
  let words = 0;
  for (const [entry, { sequence, tokens, logits = 'last', draw }] of batch.entries()) {
    const first = lengthOf(sequence);
    const tables = tablesOf(sequence);
    let isListed = false;
    for (const [offset, token] of tokens.entries()) {
      const position = first + offset;
      const own = chunksAt(position);
      const more = isListed ? 0 : tableWords(tables);
      const isFull = pass.length === MOST_ROWS || chunks + own > MOST_CHUNKS || words + more > MOST_TABLE_WORDS;
      if (isFull && pass.length > 0) {
        passes.push(pass);
        pass = [];
        chunks = 0;
        words = 0;
        isListed = false;
      }
      if (!isListed) words += tableWords(tables);
      isListed = true;
      chunks += own;
      const isLast = offset === tokens.length - 1;
      const wanted = wantedOf(logits, isLast);
      const drawn = isLast && logits === 'drawn' && draw !== undefined ? { draw } : {};
      pass.push({ token, position, wanted, chunks: own, tables, entry, offset, ...drawn });
    }
  }
  if (pass.length > 0) passes.push(pass);
  return passes;
}

function wantedOf(logits: LogitsWanted, isLast: boolean): StepRow['wanted'] {
  if (logits === 'all') return 'logits';
  if (logits === 'none' || !isLast) return 'nothing';
  return logits === 'last' ? 'logits' : 'token';
}
