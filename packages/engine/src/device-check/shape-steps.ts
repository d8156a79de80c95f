/**
 * The kernels of a shape: sizes are compiled into them, so that those of another model than the embedded one are others.
 * Its first layer, with embedding and head, is computed on the device and by the f64 reference.
 */

import { type Snapshot, type Tensor, readTensorBytes } from '@switchyard/models';
import { forward } from '../reference/forward.ts';
import type { LogitsRunner, LogitsWanted } from '../runners/logits-runner.ts';
import { type CheckResult, runCases } from './check-result.ts';

/** Layers that are computed: all have the same kernels. */
const LAYERS = 1;
/** Tokens that the reference computes: one of a large shape takes about half a second. */
const REFERENCE_TOKENS = 2;
/** Rows of the head that it computes, spread over the vocabulary. */
const HEAD_ROWS = 128;
/** Sequences side by side in a step of decoding: more than have their experts by slot. */
const SIDE_BY_SIDE = 6;
/** Tokens of a piece in f32, and of the prompt, which is more than `SPLIT_TOKENS`. */
const PIECE = 24;
const WHOLE = 3 * PIECE;
/** What the runner is to be made with as `mostSplitTokens`, so that all its kernels by matrix tiles have something to do. */
export const SPLIT_TOKENS = 2 * PIECE;

/** Of the root mean square of a row's logits: f32 against f64. Whatever is really wrong is off by about 1. */
const EXACT = 2e-3;
/** The same of bf16 against f32. */
const ROUNDED = 0.1;
/** So many rows keep that at least: where the router's choice is close, rounding decides it. */
const SAME_ROWS = 3 / 4;

/** A model cut after its first layer; its configuration stays whole, as kernels are compiled for it. */
export function cutModel(snapshot: Snapshot): Snapshot {
  const { weights } = snapshot;
  return { ...snapshot, weights: { ...weights, layers: weights.layers.slice(0, LAYERS) } };
}

/** What the reference computes of a cut model. */
export interface ShapeReference {
  readonly tokens: Int32Array;
  /** The places in a row of logits that were computed. */
  readonly places: readonly number[];
  /** A row for each of the first tokens, in the order of `places`. */
  readonly rows: readonly Float64Array[];
  /** Ids that have a token: no other is chosen. */
  readonly candidates: number;
}

/** Computes the reference of a cut model. Takes about a second at the published shapes. */
export function shapeReference({ config, weights, tokenizer }: Snapshot): ShapeReference {
  const { vocabularySize } = tokenizer;
  const tokens = Int32Array.from({ length: WHOLE }, (_, index) => ((index + 1) * 7919) % vocabularySize);
  const places = Array.from({ length: Math.min(HEAD_ROWS, vocabularySize) }, (_, index) =>
    Math.floor((index * vocabularySize) / Math.min(HEAD_ROWS, vocabularySize)),
  );
  const lmHead = rowsOf(weights.lmHead, places);
  const ids = [...tokens.subarray(0, REFERENCE_TOKENS)];
  const { logits } = forward({ config, weights: { ...weights, lmHead } }, ids);
  const rows = ids.map((_, row) => logits.subarray(row * places.length, (row + 1) * places.length));
  return { tokens, places, rows, candidates: vocabularySize };
}

/** Some rows of a matrix, as a matrix. */
function rowsOf(matrix: Tensor, rows: readonly number[]): Tensor {
  const [height = 1, width = 1] = matrix.shape;
  const rowBytes = matrix.bytes.byteLength / height;
  const bytes = new Uint8Array(rows.length * rowBytes);
  rows.forEach((row, index) =>
    bytes.set(readTensorBytes(matrix, row * rowBytes, (row + 1) * rowBytes), index * rowBytes),
  );
  return { name: matrix.name, dtype: matrix.dtype, shape: [rows.length, width], bytes };
}

/**
 * Compares a runner of the cut model, which stays the caller's, with the reference: few rows, a token at a time, several
 * sequences side by side, a prompt in pieces and whole. A runner with matrix tiles is made with `SPLIT_TOKENS`.
 */
export async function runShapeSteps(runner: LogitsRunner, reference: ShapeReference): Promise<CheckResult> {
  const cases: readonly (readonly [string, (steps: ShapeSteps) => Promise<void>])[] = [
    ['two tokens at once', (steps) => steps.atOnce()],
    ['a token at a time', (steps) => steps.oneByOne()],
    ['sequences side by side', (steps) => steps.sideBySide()],
    ['a prompt in pieces and whole', (steps) => steps.piecesAndWhole()],
  ];
  return runCases(
    cases.map(([name, run]) => ({
      name: `first layer, ${name}`,
      run: async () => {
        const steps = new ShapeSteps(runner, reference);
        try {
          await run(steps);
        } finally {
          steps.release();
        }
      },
    })),
  );
}

/** One case's use of a runner. */
class ShapeSteps {
  readonly #runner: LogitsRunner;
  readonly #reference: ShapeReference;
  readonly #sequences: number[] = [];

  constructor(runner: LogitsRunner, reference: ShapeReference) {
    this.#runner = runner;
    this.#reference = reference;
  }

  async atOnce(): Promise<void> {
    const { tokens, rows } = this.#reference;
    const logits = await this.#append(this.#open(), tokens.subarray(0, REFERENCE_TOKENS), 'all');
    rows.forEach((_, row) => this.#check(this.#row(logits, row), row));
  }

  /** With the likeliest token, as the device chooses it. */
  async oneByOne(): Promise<void> {
    const { tokens, candidates } = this.#reference;
    const [sequence, twin] = [this.#open(), this.#open()];
    for (const [row, token] of tokens.subarray(0, REFERENCE_TOKENS).entries()) {
      const logits = await this.#append(sequence, Int32Array.of(token), 'last');
      this.#check(logits, row);
      const own = logits.subarray(0, candidates);
      const likeliest = own.indexOf(own.reduce((most, logit) => Math.max(most, logit), Number.NEGATIVE_INFINITY));
      const [chosen] = await this.#runner.forward([
        { sequence: twin, tokens: Int32Array.of(token), logits: 'largest' },
      ]);
      if (chosen?.token !== likeliest) throw new Error(`token ${chosen?.token} is chosen, not ${likeliest}`);
    }
  }

  async sideBySide(): Promise<void> {
    const { tokens } = this.#reference;
    const sequences = Array.from({ length: SIDE_BY_SIDE }, () => this.#open());
    for (const [row, token] of tokens.subarray(0, REFERENCE_TOKENS).entries()) {
      const outputs = await this.#runner.forward(
        sequences.map((sequence) => ({ sequence, tokens: Int32Array.of(token), logits: 'last' })),
      );
      for (const { logits } of outputs) this.#check(logits, row);
    }
  }

  async piecesAndWhole(): Promise<void> {
    const { tokens, rows } = this.#reference;
    const sequence = this.#open();
    const pieces: Float32Array[] = [];
    for (let start = 0; start < WHOLE; start += PIECE) {
      pieces.push(await this.#append(sequence, tokens.subarray(start, start + PIECE), 'all'));
    }
    rows.forEach((_, row) => this.#check(this.#row(pieces[0] ?? NO_LOGITS, row), row));
    for (const [length, tolerance] of [
      [SPLIT_TOKENS, EXACT],
      [WHOLE, ROUNDED],
    ] as const) {
      const whole = await this.#append(this.#open(), tokens.subarray(0, length), 'all');
      const errors = Array.from({ length }, (_, row) =>
        relativeError(this.#row(whole, row), this.#row(pieces[Math.floor(row / PIECE)] ?? NO_LOGITS, row % PIECE)),
      );
      const close = errors.filter((error) => error <= tolerance).length;
      if (close < SAME_ROWS * length) {
        throw new Error(
          `${length - close} of ${length} rows of logits differ by more than ${tolerance} between a prompt whole and in pieces`,
        );
      }
    }
  }

  release(): void {
    for (const sequence of this.#sequences) this.#runner.releaseSequence(sequence);
  }

  #open(): number {
    const sequence = this.#runner.createSequence();
    this.#sequences.push(sequence);
    return sequence;
  }

  async #append(sequence: number, tokens: Int32Array, logits: LogitsWanted): Promise<Float32Array> {
    const [output] = await this.#runner.forward([{ sequence, tokens, logits }]);
    return output?.logits ?? NO_LOGITS;
  }

  #row(logits: Float32Array, row: number): Float32Array {
    const width = this.#runner.vocabularySize;
    return logits.subarray(row * width, (row + 1) * width);
  }

  /** Holds a row of logits against the reference's of the token that stands there. */
  #check(logits: Float32Array, row: number): void {
    const { places, rows } = this.#reference;
    const found = places.map((place) => logits[place] ?? Number.NaN);
    const error = relativeError(found, rows[row] ?? []);
    if (!(error <= EXACT))
      throw new Error(`the logits of token ${row} differ by ${error.toPrecision(2)} of their size`);
  }
}

const NO_LOGITS = new Float32Array(0);

/** Root mean square of the difference, of that of what is expected. */
function relativeError(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [squares, scale] = [0, 0];
  for (let index = 0; index < expected.length; index++) {
    squares += ((found[index] as number) - (expected[index] as number)) ** 2;
    scale += (expected[index] as number) ** 2;
  }
  return Math.sqrt(squares / scale);
}
