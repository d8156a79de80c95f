/**
 * What a pass over the layers reads and leaves, in memory that the library shares: `Pass` and `Row` of kernels/native/model.h.
 */

import type { GptOssConfig } from '@switchyard/models';
import type { RouterOutput } from '@switchyard/router-kernel';
import type { SequenceTables } from '../kv-sequences.ts';
import type { RotaryTables } from '../rotary-tables.ts';
import type { PlannedPass } from './plan-passes.ts';
import { SharedArray, addressOf } from './shared-array.ts';

const PASS_WORDS = 14;
const ROW_WORDS = 4;

/** Grows to the largest pass so far. */
export class PassMemory {
  readonly #config: GptOssConfig;
  readonly #pass = new SharedArray(BigUint64Array, PASS_WORDS);
  readonly #rows = new SharedArray(Int32Array, 0);
  readonly #tables = new SharedArray(Int32Array, 0);
  readonly #routerLogits = new SharedArray(Float32Array, 0);
  readonly #ids = new SharedArray(Int32Array, 0);
  readonly #weights = new SharedArray(Float32Array, 0);
  readonly #expertOffsets: SharedArray<Int32Array<ArrayBuffer>>;
  readonly #sortedSlots = new SharedArray(Int32Array, 0);
  readonly #wantedRows = new SharedArray(Int32Array, 0);
  readonly #logits = new SharedArray(Float32Array, 0);
  readonly #largest = new SharedArray(Int32Array, 0);

  /** Whose addresses `cosine` and `sine` are: a table that grows is another one. */
  #rotaryOf: Float32Array | null = null;
  #cosine = 0n;
  #sine = 0n;

  /** What each layer's router reads and writes: made once for a pass, since a router takes less time than they do. */
  #ofRouter;

  constructor(config: GptOssConfig) {
    this.#config = config;
    this.#expertOffsets = new SharedArray(Int32Array, config.experts + 1);
    this.#ofRouter = this.#viewsForRouter(0);
  }

  /** The address of the `Pass`. */
  get address(): bigint {
    return this.#pass.address;
  }

  /** f32 [rows, experts] of the pass: the router's input. */
  get routerLogits(): Float32Array {
    return this.#ofRouter.logits;
  }

  /** Where the router's choice goes: rows of a RouterOutput with a dispatch plan, as many as the largest pass had or more. */
  get routing() {
    return this.#ofRouter.routing;
  }

  /** Takes over what a router has written elsewhere. */
  setRouting({ ids, weights, dispatchPlan }: RouterOutput): void {
    this.#ids.values.set(ids as Int32Array);
    this.#weights.values.set(weights);
    if (dispatchPlan === undefined) return;
    this.#expertOffsets.values.set(dispatchPlan.expertOffsets);
    this.#sortedSlots.values.set(dispatchPlan.sortedSlots);
  }

  /** f32 [vocabulary]: the logits of a wanted row. */
  logits(wanted: number): Float32Array {
    const { vocabularySize } = this.#config;
    return this.#logits.values.subarray(wanted * vocabularySize, (wanted + 1) * vocabularySize);
  }

  /** The id of a wanted row's largest logit; -1 where none is a number. */
  largest(wanted: number): number {
    return this.#largest.values[wanted] as number;
  }

  /** Describes a pass. `rotary` has rows for all of its positions. */
  write({ rows, isPrefill }: PlannedPass, rotary: RotaryTables): void {
    const { experts, expertsPerToken, vocabularySize } = this.#config;
    const slots = rows.length * expertsPerToken;
    this.#routerLogits.reserve(rows.length * experts);
    for (const array of [this.#ids, this.#weights, this.#sortedSlots]) array.reserve(slots);
    this.#ofRouter = this.#viewsForRouter(rows.length);
    this.#writeRows(rows);
    const wanted = this.#writeWanted(rows);
    this.#logits.reserve(wanted * vocabularySize);
    this.#largest.reserve(wanted);
    if (this.#rotaryOf !== rotary.cosine) {
      this.#rotaryOf = rotary.cosine;
      this.#cosine = addressOf(rotary.cosine);
      this.#sine = addressOf(rotary.sine);
    }
    // Word by word: a typed array takes microseconds to be set from a list.
    const words = this.#pass.values;
    words[0] = BigInt(rows.length);
    words[1] = isPrefill ? 1n : 0n;
    words[2] = this.#rows.address;
    words[3] = this.#tables.address;
    words[4] = this.#cosine;
    words[5] = this.#sine;
    words[6] = this.#routerLogits.address;
    words[7] = this.#weights.address;
    words[8] = this.#expertOffsets.address;
    words[9] = this.#sortedSlots.address;
    words[10] = BigInt(wanted);
    words[11] = this.#wantedRows.address;
    words[12] = this.#logits.address;
    words[13] = this.#largest.address;
  }

  /** Writes which rows' logits are wanted. Returns how many. */
  #writeWanted(rows: PlannedPass['rows']): number {
    this.#wantedRows.reserve(rows.length);
    const values = this.#wantedRows.values;
    let wanted = 0;
    for (let index = 0; index < rows.length; index++) if (rows[index]?.wanted !== 'nothing') values[wanted++] = index;
    return wanted;
  }

  #viewsForRouter(rows: number) {
    return {
      logits: this.#routerLogits.values.subarray(0, rows * this.#config.experts),
      routing: {
        ids: this.#ids.values,
        weights: this.#weights.values,
        dispatchPlan: { expertOffsets: this.#expertOffsets.values, sortedSlots: this.#sortedSlots.values },
      },
    };
  }

  /** Rows, and the tables of their sequences, each once. */
  #writeRows(rows: PlannedPass['rows']): void {
    const places = new Map<SequenceTables, { readonly full: number; readonly window: number }>();
    let end = 0;
    for (const { tables } of rows) {
      if (places.has(tables)) continue;
      places.set(tables, { full: end, window: end + tables.full.length - tables.windowFirst });
      end += tables.full.length + tables.window.length;
    }
    this.#tables.reserve(end);
    this.#rows.reserve(rows.length * ROW_WORDS);
    const [tableValues, rowValues] = [this.#tables.values, this.#rows.values];
    for (const [tables, { full }] of places) {
      // Element by element, here and below: a typed array takes microseconds to be set from a short list.
      let at = full;
      for (const block of tables.full) tableValues[at++] = block;
      for (const block of tables.window) tableValues[at++] = block;
    }
    for (const [index, { token, position, tables }] of rows.entries()) {
      const place = places.get(tables);
      const at = index * ROW_WORDS;
      rowValues[at] = token;
      rowValues[at + 1] = position;
      rowValues[at + 2] = place?.full ?? 0;
      rowValues[at + 3] = place?.window ?? 0;
    }
  }
}
