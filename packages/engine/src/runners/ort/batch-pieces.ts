import type { LogitsStep, LogitsWanted } from '../logits-runner.ts';

/** Some tokens of one entry of a batch, computed in one go. */
export interface Piece {
  /** The entry's index in the batch. */
  readonly entry: number;
  readonly sequence: number;
  readonly tokens: Int32Array;
  /** The piece's first token, counted in the entry. */
  readonly offset: number;
  /** Offsets in the piece whose logits are wanted, ascending. */
  readonly wanted: readonly number[];
}

/** Longest piece. Longer ones gain no speed, and their attention scores take memory. */
export const LONGEST_PIECE = 512;

/**
 * Cuts a batch into pieces that can be computed together: first every entry of one token, grouped by `groupOf`, then
 * the longer entries one by one in parts of at most `LONGEST_PIECE` tokens. Every piece of a group has one length.
 */
export function groupPieces(batch: readonly LogitsStep[], groupOf: (sequence: number) => number): Piece[][] {
  const singles = new Map<number, Piece[]>();
  const longer: Piece[][] = [];
  batch.forEach(({ sequence, tokens, logits = 'last' }, entry) => {
    for (let offset = 0; offset < tokens.length; offset += LONGEST_PIECE) {
      const part = tokens.subarray(offset, offset + LONGEST_PIECE);
      const isLast = offset + part.length === tokens.length;
      const piece = { entry, sequence, tokens: part, offset, wanted: wantedOffsets(part.length, logits, isLast) };
      if (tokens.length > 1) {
        longer.push([piece]);
        continue;
      }
      const group = groupOf(sequence);
      const members = singles.get(group);
      if (members === undefined) {
        singles.set(group, [piece]);
      } else {
        members.push(piece);
      }
    }
  });
  return [...singles.values(), ...longer];
}

function wantedOffsets(length: number, logits: LogitsWanted, isLast: boolean): number[] {
  if (logits === 'all') {
    return Array.from({ length }, (_, offset) => offset);
  }
  return logits === 'last' && isLast ? [length - 1] : [];
}
