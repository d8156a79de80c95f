/**
 * Where the tokens are that the last step chose: on the device, where the next step's embedding can read them before anybody
 * above has seen them.
 */

import { InvalidStepError } from '../errors.ts';
import type { LogitsOutput, LogitsStep, StartedPart } from '../logits-runner.ts';
import type { Pass, PassKind, PassRow } from './plan-passes.ts';
import { HEAD_ROWS } from './sizes.ts';

/** What a row has instead of a token that lies at a place on the device: step-block.ts. */
const tokenAt = (place: number): number => -1 - place;

/** Where the first of two turns of a kind's passes goes, in rows. */
const FIRST_PLACES: Readonly<Record<PassKind, number>> = {
  vectors: 0,
  roundedTiles: HEAD_ROWS,
  splitTiles: 3 * HEAD_ROWS,
};

/** Stands for a token that nobody knows. */
const UNKNOWN = Int32Array.of(0);

/** The tokens of one step at a time. */
export class ChosenTokens {
  /** By sequence: the token, or where it is. */
  #tokens = new Map<number, number>();
  /** Passes by matrix tiles so far, of each kind. */
  readonly #tilePasses = { roundedTiles: 0, splitTiles: 0 };

  /** A batch as it is checked and cut: the token 0 stands for those that nobody knows. */
  batchOf(parts: readonly StartedPart[]): readonly LogitsStep[] {
    return parts.map((part) => {
      const { tokens } = part;
      if (tokens instanceof Int32Array) return { ...part, tokens };
      if (this.#tokens.has(tokens.chosenFor)) return { ...part, tokens: UNKNOWN };
      throw new InvalidStepError(
        `a token of sequence ${tokens.chosenFor}, for which the step before has chosen none`,
        'give the tokens',
      );
    });
  }

  /** The passes with the tokens, or the places of tokens, that the step before chose. */
  read(passes: readonly Pass[], parts: readonly StartedPart[]): readonly Pass[] {
    if (parts.every(({ tokens }) => tokens instanceof Int32Array)) return passes;
    return passes.map(({ kind, rows }) => ({ kind, rows: rows.map((row) => this.#read(row, parts[row.entry])) }));
  }

  /** Where the tokens that a pass chooses go. */
  placeOf(kind: PassKind): number {
    const turn = kind === 'vectors' ? 0 : this.#tilePasses[kind] % 2;
    return FIRST_PLACES[kind] + HEAD_ROWS * turn;
  }

  /** A step's passes were enqueued: their tokens will be where `placeOf` said. */
  tookPlaces(
    passes: readonly { readonly pass: Pass; readonly wanted: readonly PassRow[] }[],
    batch: readonly LogitsStep[],
  ): void {
    this.#tokens = new Map();
    for (const { pass, wanted } of passes) {
      const first = this.placeOf(pass.kind);
      for (const [index, { entry }] of wanted.entries()) {
        const sequence = batch[entry]?.sequence;
        if (sequence !== undefined) this.#tokens.set(sequence, tokenAt(first + index));
      }
      if (pass.kind !== 'vectors') this.#tilePasses[pass.kind]++;
    }
  }

  /** A step has ended, and its tokens are known. */
  tookTokens(batch: readonly LogitsStep[], outputs: readonly LogitsOutput[]): void {
    this.#tokens = new Map();
    for (const [entry, { sequence }] of batch.entries()) {
      const token = outputs[entry]?.token;
      // Where no logit was a number nothing goes on, and any token does.
      if (token !== undefined) this.#tokens.set(sequence, Math.max(0, token));
    }
  }

  #read(row: PassRow, part: StartedPart | undefined): PassRow {
    if (part === undefined || part.tokens instanceof Int32Array) return row;
    return { ...row, token: this.#tokens.get(part.tokens.chosenFor) ?? 0 };
  }
}
