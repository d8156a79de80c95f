/**
 * Cuts a step into passes over the layers. Rows of decoding (entries of one token) and rows of prefill are computed by
 * different kernels, in passes of their own.
 */

import type { SequenceTables } from '../kv-sequences.ts';
import type { LogitsStep, LogitsWanted } from '../logits-runner.ts';

/** The most rows of a pass. */
export const MOST_ROWS = 512;

/** One row (token) of a pass, and whose it is. */
export interface PassRow {
  readonly token: number;
  readonly position: number;
  readonly wanted: 'nothing' | 'logits' | 'token';
  readonly tables: SequenceTables;
  /** The entry of the batch, and the row's place among its tokens. */
  readonly entry: number;
  readonly offset: number;
  /** The row's place among those of the whole batch, in its order. */
  readonly batchRow: number;
}

/** Rows that are computed together, at most MOST_ROWS. */
export interface PlannedPass {
  readonly isPrefill: boolean;
  readonly rows: readonly PassRow[];
}

/**
 * The passes of a batch. A sequence's rows stand in ascending positions, so that each pass finds what the one before has
 * written.
 *
 * @param lengthOf tokens that a sequence has before the step.
 * @param tablesOf where its blocks are, room for the step included.
 */
export function planPasses(
  batch: readonly LogitsStep[],
  lengthOf: (sequence: number) => number,
  tablesOf: (sequence: number) => SequenceTables,
): PlannedPass[] {
  const decode: PassRow[] = [];
  const prefill: PassRow[] = [];
  let batchRow = 0;
  for (const [entry, { sequence, tokens, logits = 'last' }] of batch.entries()) {
    const first = lengthOf(sequence);
    const tables = tablesOf(sequence);
    const rows = tokens.length === 1 ? decode : prefill;
    for (let offset = 0; offset < tokens.length; offset++) {
      const token = tokens[offset] as number;
      const wanted = wantedOf(logits, offset === tokens.length - 1);
      rows.push({ token, position: first + offset, wanted, tables, entry, offset, batchRow });
      batchRow++;
    }
  }
  return [...passesOf(decode, false), ...passesOf(prefill, true)];
}

function passesOf(rows: readonly PassRow[], isPrefill: boolean): PlannedPass[] {
  const passes: PlannedPass[] = [];
  for (let first = 0; first < rows.length; first += MOST_ROWS) {
    const some = rows.length <= MOST_ROWS ? rows : rows.slice(first, first + MOST_ROWS);
    passes.push({ isPrefill, rows: some });
  }
  return passes;
}

function wantedOf(logits: LogitsWanted, isLast: boolean): PassRow['wanted'] {
  if (logits === 'all') return 'logits';
  if (logits === 'none' || !isLast) return 'nothing';
  return logits === 'last' ? 'logits' : 'token';
}
