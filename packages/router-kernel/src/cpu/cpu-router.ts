/** The router on the host's CPU: key building, selection and weights in one pass over the rows. */

import { type RowsOfCall, checkRowArguments, resolveRouterConfig, rowsOfRouter } from '../resolve-config.ts';
import type {
  DispatchPlan,
  ExpertIds,
  Logits,
  ResolvedRouterConfig,
  ResolvedRouteArguments,
  RouteOptions,
  Router,
  RouterConfig,
  RouterOutput,
} from '../contract.ts';
import { hasRange, ranksByChoice } from '../derived-config.ts';
import { buildDispatchPlanInto } from '../dispatch-plan.ts';
import { createExpertTiles, expertTileCapacity, tileShapeOf, writeExpertTiles } from '../expert-tiles.ts';
import { DisposedError, InvalidArgumentError } from '../errors.ts';
import { bf16ToF32, f16ToF32 } from '../number-formats.ts';
import { isTypedArray, lengthOf } from '../typed-arrays.ts';
import { ChoiceScorer } from './choice-scores.ts';
import { FOUR, routeFour } from './softmax-of-four.ts';
import { BF16_INFINITY_BITS, F16_INFINITY_BITS } from './sort-keys.ts';
import { selectFromBits, selectFromValues } from './top-k-selection.ts';
import { WeightWriter } from './weights.ts';

/** The array that ids of a dtype are written to. */
const ID_ARRAYS = { i32: 'Int32Array', u32: 'Uint32Array', i64: 'BigInt64Array' } as const;

/** Slots of more than that are for the checks to look at. */
const MAX_COMMON_SLOTS = 2 ** 24;

/** Arrays that `CpuRouter.routeInto` writes: those of a RouterOutput, of T rows or more. */
export type RouterOutputArrays = Omit<RouterOutput, 'tokens'>;

/**
 * Routes on the calling thread. Beside the `Router` interface it offers synchronous calls for a decode loop:
 * `routeSync`, and `routeInto` for outputs that are made once and used again.
 */
export class CpuRouter implements Router {
  readonly backend = 'cpu';
  readonly device = 'host CPU';
  readonly config: ResolvedRouterConfig;
  /** Made once: a call takes some hundred nanoseconds. */
  readonly #rows: RowsOfCall;
  readonly #infinityBits: number;
  readonly #choiceScorer: ChoiceScorer | null;
  /** Whether rows are those of `routeFour`, and the scale of their weights. */
  readonly #areFour: boolean;
  readonly #scale: number;
  /** Whether that, a dispatch plan and i32 ids are all that calls have to do with. */
  readonly #isCommon: boolean;
  readonly #weightWriter: WeightWriter;
  /** The row as f32, for 16-bit logits where more than the winners' logits are needed; else empty. */
  readonly #row: Float32Array;
  readonly #selectionKeys: Int32Array;
  readonly #selectionValues: Float32Array;
  /** i32 ids of a call whose output ids are u32 or i64; grows with T. */
  #narrowIds = new Int32Array(0);
  #isDisposed = false;

  /** @throws InvalidConfigError */
  constructor(config: RouterConfig) {
    const resolved = resolveRouterConfig(config);
    const { experts, topK, logitsDtype, scoring, renormalize } = resolved;
    const isChoice = ranksByChoice(resolved);
    const readsWholeRow = isChoice || (scoring === 'softmax' && !renormalize);
    this.config = resolved;
    this.#rows = rowsOfRouter(resolved);
    this.#infinityBits = logitsDtype === 'bf16' ? BF16_INFINITY_BITS : F16_INFINITY_BITS;
    this.#choiceScorer = isChoice ? new ChoiceScorer(resolved) : null;
    this.#areFour = topK === FOUR && logitsDtype === 'f32' && scoring === 'softmax' && renormalize && !isChoice;
    this.#scale = Math.fround(resolved.routedScalingFactor);
    this.#isCommon =
      this.#areFour &&
      resolved.idsDtype === 'i32' &&
      resolved.dispatchPlan &&
      resolved.expertTiles === null &&
      !resolved.tokenExpertIndices &&
      !hasRange(resolved);
    this.#weightWriter = new WeightWriter(resolved);
    this.#row = new Float32Array(readsWholeRow && logitsDtype !== 'f32' ? experts : 0);
    this.#selectionKeys = new Int32Array(topK);
    this.#selectionValues = new Float32Array(topK);
  }

  /** See `Router.route`. The work is done on the calling thread before the promise is returned. */
  async route(logits: Logits, options?: RouteOptions): Promise<RouterOutput> {
    return this.routeSync(logits, options);
  }

  /**
   * As `route`, without a promise.
   *
   * @throws InvalidArgumentError, DisposedError
   */
  routeSync(logits: Logits, options?: RouteOptions): RouterOutput {
    this.#checkAlive();
    const call = checkRowArguments(this.#rows, logits, options);
    const outputs = this.createOutputs(call.tokens);
    this.#run(logits, call, outputs);
    return outputs;
  }

  /**
   * As `routeSync`, into arrays made before, such as those of `createOutputs`. Nothing is written past T rows.
   *
   * @throws InvalidArgumentError where an array is missing, of the wrong type or too short; DisposedError
   */
  routeInto(logits: Logits, outputs: RouterOutputArrays, options?: RouteOptions): void {
    this.#checkAlive();
    const common = options === undefined && this.#isCommon ? this.#commonTokens(logits, outputs) : 0;
    if (common > 0 && outputs.dispatchPlan !== undefined) {
      this.#runCommon(logits as Float32Array, common, outputs.ids as Int32Array, outputs.weights, outputs.dispatchPlan);
      return;
    }
    const call = checkRowArguments(this.#rows, logits, options);
    this.#checkOutputs(outputs, call.tokens);
    this.#run(logits, call, outputs);
  }

  /** Output arrays for T rows, as this router's configuration asks for them. */
  createOutputs(tokens: number): RouterOutput {
    const { experts, topK, tokenExpertIndices, dispatchPlan } = this.config;
    const slots = tokens * topK;
    // Assigned and not spread, which takes microseconds in each step of a decode loop.
    const output: { -readonly [Field in keyof RouterOutput]: RouterOutput[Field] } = {
      tokens,
      ids: this.#createIds(slots),
      weights: new Float32Array(slots),
    };
    if (tokenExpertIndices) output.tokenExpertIndices = new Int32Array(slots);
    if (dispatchPlan) {
      const plan = { expertOffsets: new Int32Array(experts + 1), sortedSlots: new Int32Array(slots) };
      const tiles = tileShapeOf(this.config);
      output.dispatchPlan = tiles === null ? plan : { ...plan, expertTiles: createExpertTiles(tiles, tokens) };
    }
    return output;
  }

  async dispose(): Promise<void> {
    this.#isDisposed = true;
    this.#narrowIds = new Int32Array(0);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  /**
   * The rows of a call of the commonest kind that is right, by as few checks as tell that; 0 for every other call, of which
   * `checkRowArguments` and `#checkOutputs` say what it is.
   */
  #commonTokens(logits: Logits, outputs: RouterOutputArrays): number {
    const { experts } = this.config;
    const { ids, weights, dispatchPlan } = outputs;
    if (!isTypedArray(logits, 'Float32Array') || !isTypedArray(ids, 'Int32Array')) return 0;
    const tokens = lengthOf(logits, 4) / experts;
    const slots = tokens * FOUR;
    if (!Number.isInteger(tokens) || slots > MAX_COMMON_SLOTS || dispatchPlan === undefined) return 0;
    if (ids.length < slots || weights.length < slots || dispatchPlan.sortedSlots.length < slots) return 0;
    if (dispatchPlan.expertOffsets.length !== experts + 1) return 0;
    return outputs.tokenExpertIndices === undefined && dispatchPlan.expertTiles === undefined ? tokens : 0;
  }

  /** As `#run`, in a way of its own: the common one makes a call for one row 6 to 9 % longer. */
  #runCommon(logits: Float32Array, tokens: number, ids: Int32Array, weights: Float32Array, plan: DispatchPlan): void {
    const { experts } = this.config;
    const scale = this.#scale;
    for (let token = 0; token < tokens; token++) {
      const start = token * experts;
      const outStart = token * FOUR;
      if (routeFour(logits, start, experts, scale, ids, weights, outStart)) continue;
      this.#routeValues(logits, start, ids, weights, outStart);
    }
    buildDispatchPlanInto(ids, tokens * FOUR, plan);
  }

  #run(logits: Logits, call: ResolvedRouteArguments, outputs: RouterOutputArrays): void {
    const { tokens } = call;
    const slots = tokens * this.config.topK;
    const ids = this.config.idsDtype === 'i32' ? (outputs.ids as Int32Array) : this.#narrowIdsOf(slots);
    this.#routeRows(logits, call, ids, outputs.weights);
    const plan = outputs.dispatchPlan;
    if (plan !== undefined) {
      buildDispatchPlanInto(ids, slots, plan);
      const rows = this.config.expertTiles;
      if (plan.expertTiles !== undefined && rows !== null) {
        writeExpertTiles(plan.expertOffsets, rows, plan.expertTiles);
      }
    }
    if (outputs.tokenExpertIndices !== undefined) {
      writeTokenExpertIndices(outputs.tokenExpertIndices, tokens, this.config.topK);
    }
    if (outputs.ids !== ids) widenIds(ids, slots, outputs.ids);
  }

  #routeRows(logits: Logits, call: ResolvedRouteArguments, ids: Int32Array, weights: Float32Array): void {
    const { experts, topK, logitsDtype } = this.config;
    const { tokens, rowStride, paddingMask, rowCount } = call;
    const isWholeRange = !hasRange(this.config);
    const [areFour, scale] = [this.#areFour, this.#scale];
    for (let token = 0; token < tokens; token++) {
      const outStart = token * topK;
      if (token >= rowCount || (paddingMask !== null && paddingMask[token] !== 0)) {
        ids.fill(-1, outStart, outStart + topK);
        weights.fill(0, outStart, outStart + topK);
        continue;
      }
      const start = token * rowStride;
      if (logitsDtype !== 'f32') this.#routeBits(logits as Uint16Array, start, ids, weights, outStart);
      else if (!areFour || !routeFour(logits as Float32Array, start, experts, scale, ids, weights, outStart)) {
        this.#routeValues(logits as Float32Array, start, ids, weights, outStart);
      }
      if (!isWholeRange) this.#dropUnowned(ids, weights, outStart);
    }
  }

  /** One row of f32 logits. */
  #routeValues(row: Float32Array, start: number, ids: Int32Array, weights: Float32Array, outStart: number): void {
    const { experts } = this.config;
    const { winnerLogits } = this.#weightWriter;
    if (this.#choiceScorer === null) {
      selectFromValues(row, start, experts, this.#selectionValues, ids, outStart);
    } else {
      this.#choiceScorer.score(row, start);
      selectFromValues(this.#choiceScorer.choice, 0, experts, this.#selectionValues, ids, outStart);
    }
    for (let k = 0; k < winnerLogits.length; k++) {
      winnerLogits[k] = row[start + (ids[outStart + k] as number)] as number;
    }
    this.#weightWriter.write(row, start, weights, outStart);
  }

  /** One row of bf16 or f16 logits. */
  #routeBits(bits: Uint16Array, start: number, ids: Int32Array, weights: Float32Array, outStart: number): void {
    const { experts } = this.config;
    const { winnerLogits } = this.#weightWriter;
    const row = this.#row;
    const isBf16 = this.#infinityBits === BF16_INFINITY_BITS;
    for (let expert = 0; expert < row.length; expert++) {
      const stored = bits[start + expert] as number;
      row[expert] = isBf16 ? bf16ToF32(stored) : f16ToF32(stored);
    }
    if (this.#choiceScorer === null) {
      selectFromBits(bits, start, experts, this.#infinityBits, this.#selectionKeys, ids, outStart);
    } else {
      this.#choiceScorer.score(row, 0);
      selectFromValues(this.#choiceScorer.choice, 0, experts, this.#selectionValues, ids, outStart);
    }
    for (let k = 0; k < winnerLogits.length; k++) {
      const stored = bits[start + (ids[outStart + k] as number)] as number;
      winnerLogits[k] = isBf16 ? bf16ToF32(stored) : f16ToF32(stored);
    }
    this.#weightWriter.write(row, 0, weights, outStart);
  }

  #dropUnowned(ids: Int32Array, weights: Float32Array, outStart: number): void {
    const [rangeStart, rangeEnd] = this.config.expertRange;
    for (let position = outStart; position < outStart + this.config.topK; position++) {
      const id = ids[position] as number;
      if (id >= rangeStart && id < rangeEnd) continue;
      ids[position] = -1;
      weights[position] = 0;
    }
  }

  #createIds(slots: number): ExpertIds {
    if (this.config.idsDtype === 'i64') return new BigInt64Array(slots);
    return this.config.idsDtype === 'u32' ? new Uint32Array(slots) : new Int32Array(slots);
  }

  #narrowIdsOf(slots: number): Int32Array {
    if (this.#narrowIds.length < slots) this.#narrowIds = new Int32Array(slots);
    return this.#narrowIds;
  }

  #checkAlive(): void {
    if (this.#isDisposed) throw new DisposedError('router (cpu)');
  }

  #checkOutputs(outputs: RouterOutputArrays, tokens: number): void {
    const { experts, topK, idsDtype, tokenExpertIndices, dispatchPlan } = this.config;
    const slots = tokens * topK;
    const idsKind = ID_ARRAYS[idsDtype];
    if (!isTypedArray(outputs.ids, idsKind)) throw wrongOutput('ids', outputs.ids, `a ${idsKind}`);
    if (outputs.ids.length < slots) throw shortOutput('ids', outputs.ids.length, slots);
    if (outputs.weights.length < slots) throw shortOutput('weights', outputs.weights.length, slots);
    const indices = outputs.tokenExpertIndices;
    if ((indices !== undefined) !== tokenExpertIndices) {
      throw wrongOutput('tokenExpertIndices', indices, tokenExpertIndices ? 'an Int32Array' : 'absent');
    }
    if (indices !== undefined && indices.length < slots) throw shortOutput('tokenExpertIndices', indices.length, slots);
    const plan = outputs.dispatchPlan;
    if ((plan !== undefined) !== dispatchPlan) {
      throw wrongOutput('dispatchPlan', plan, dispatchPlan ? 'expertOffsets and sortedSlots' : 'absent');
    }
    if (plan === undefined) return;
    if (plan.expertOffsets.length !== experts + 1) {
      throw wrongOutput('dispatchPlan', plan, `expertOffsets of ${experts + 1} elements`);
    }
    if (plan.sortedSlots.length < slots) throw shortOutput('dispatchPlan', plan.sortedSlots.length, slots);
    const tiles = tileShapeOf(this.config);
    const lists = plan.expertTiles;
    if ((lists !== undefined) !== (tiles !== null)) {
      throw wrongOutput('dispatchPlan', plan, tiles === null ? 'without expertTiles' : 'with expertTiles');
    }
    if (lists === undefined || tiles === null) return;
    const capacity = expertTileCapacity(tiles, tokens);
    if (lists.counts.length !== 2 || lists.activeExperts.length !== experts) {
      throw wrongOutput('dispatchPlan', plan, `expertTiles with 2 counts and ${experts} activeExperts`);
    }
    for (const list of [lists.tileExperts, lists.tileStarts]) {
      if (list.length < capacity) throw shortOutput('dispatchPlan.expertTiles', list.length, capacity);
    }
  }
}

/** Makes a CpuRouter. @throws InvalidConfigError */
export function createCpuRouter(config: RouterConfig): CpuRouter {
  return new CpuRouter(config);
}

function writeTokenExpertIndices(indices: Int32Array, tokens: number, topK: number): void {
  for (let token = 0; token < tokens; token++) {
    for (let k = 0; k < topK; k++) indices[token * topK + k] = k * tokens + token;
  }
}

/** Copies i32 ids to u32 or i64; -1 becomes 0xFFFFFFFF or -1n. */
function widenIds(ids: Int32Array, slots: number, out: ExpertIds): void {
  if (isTypedArray(out, 'BigInt64Array')) {
    for (let slot = 0; slot < slots; slot++) out[slot] = BigInt(ids[slot] as number);
  } else {
    for (let slot = 0; slot < slots; slot++) out[slot] = ids[slot] as number;
  }
}

function wrongOutput(name: string, received: unknown, wanted: string): InvalidArgumentError {
  return new InvalidArgumentError(
    `outputs.${name}`,
    received,
    `This router's configuration needs outputs.${name} to be ${wanted} · found ${received === undefined ? 'none' : 'something else'} · make them with createOutputs(tokens)`,
  );
}

function shortOutput(name: string, received: number, needed: number): InvalidArgumentError {
  return new InvalidArgumentError(
    `outputs.${name}`,
    received,
    `outputs.${name} is too short: the call writes ${needed} elements · found ${received} · make it with createOutputs(tokens)`,
  );
}
