/** Compares what a router returned with the reference, row by row. */

import type {
  DispatchPlan,
  ExpertIds,
  Logits,
  ResolvedRouterConfig,
  ResolvedRouteArguments,
  RouterOutput,
} from '../contract.ts';
import { buildDispatchPlan } from '../dispatch-plan.ts';
import { tileShapeOf } from '../expert-tiles.ts';
import type { ExpertTileShape } from '../expert-tiles.ts';
import { rankRow, readRow, weightsOf } from '../reference.ts';
import type { RankedRow } from '../reference.ts';
import { acceptsIds } from './rank-tolerance.ts';

/** Weights may differ from the f64 reference by this much, */
export const WEIGHT_ABSOLUTE_TOLERANCE = 2e-6;
/** or by this much relative to it, whichever is more. */
export const WEIGHT_RELATIVE_TOLERANCE = 2e-5;

/** What a comparison found. */
export interface Comparison {
  /** Rows compared. */
  readonly rows: number;
  /** Slots whose id is not one that the contract allows. */
  readonly mismatchedIds: number;
  /** Slots whose weight is out of tolerance. */
  readonly mismatchedWeights: number;
  /** The largest weight error as a share of its tolerance: 1 is the limit. */
  readonly worstWeightError: number;
  /** What is wrong, in words, a few at most; empty where all is right. */
  readonly problems: readonly string[];
}

const MOST_PROBLEMS = 4;

/**
 * Compares one call's output with the reference.
 *
 * @param logits the input as it was before the call
 */
export function compareOutput(
  config: ResolvedRouterConfig,
  logits: Logits,
  call: ResolvedRouteArguments,
  output: RouterOutput,
): Comparison {
  const problems = shapeProblems(config, call.tokens, output);
  if (problems.length > 0) {
    return { rows: call.tokens, mismatchedIds: 0, mismatchedWeights: 0, worstWeightError: 0, problems };
  }
  const { topK } = config;
  const report = (problem: string): void => {
    if (problems.length < MOST_PROBLEMS) problems.push(problem);
  };
  let mismatchedIds = 0;
  let mismatchedWeights = 0;
  let worstWeightError = 0;

  for (let token = 0; token < call.tokens; token++) {
    const row = readRow(config, logits, token * call.rowStride);
    const ranked = rankRow(config, row);
    const isPadding = token >= call.rowCount || (call.paddingMask !== null && call.paddingMask[token] !== 0);
    const actual = Array.from(output.ids.subarray(token * topK, (token + 1) * topK), signedId);
    const winners = isPadding ? ranked.ids : impliedWinners(config, row, ranked, actual);
    const expectedIds = winners.map((id) => (isPadding || !isOwned(config, id) ? -1 : id));
    const weights = weightsOf(config, row, winners);
    for (let k = 0; k < topK; k++) {
      const id = actual[k] ?? NaN;
      const expectedId = expectedIds[k] ?? NaN;
      if (id !== expectedId) {
        mismatchedIds++;
        report(`row ${token}, slot ${k}: expert ${id} where the reference has ${expectedId}`);
        continue;
      }
      const weight = output.weights[token * topK + k] ?? NaN;
      const expected = expectedId === -1 ? 0 : (weights[k] ?? NaN);
      const tolerance = Math.max(WEIGHT_ABSOLUTE_TOLERANCE, WEIGHT_RELATIVE_TOLERANCE * Math.abs(expected));
      const share = Math.abs(weight - expected) / tolerance;
      if (share <= 1) {
        worstWeightError = Math.max(worstWeightError, share);
        continue;
      }
      mismatchedWeights++;
      worstWeightError = Math.max(worstWeightError, Number.isNaN(share) ? Infinity : share);
      report(`row ${token}, slot ${k}: weight ${weight} where the reference has ${expected}`);
    }
  }
  // The plan of ids that are wrong is wrong too, and would only say the same again.
  if (mismatchedIds === 0) for (const problem of derivedProblems(config, call.tokens, output)) report(problem);
  return { rows: call.tokens, mismatchedIds, mismatchedWeights, worstWeightError, problems };
}

/**
 * The K winners behind a row's ids: the ids themselves where the contract allows them, else the reference's. Slots
 * of experts outside the range are -1 and say nothing; the reference's id stands in.
 */
function impliedWinners(
  config: ResolvedRouterConfig,
  row: Float64Array,
  ranked: RankedRow,
  actual: readonly number[],
): readonly number[] {
  const winners = actual.map((id, k) => {
    const reference = ranked.ids[k] ?? NaN;
    return id === -1 && !isOwned(config, reference) ? reference : id;
  });
  return acceptsIds(config, row, ranked, winners) ? winners : ranked.ids;
}

function isOwned(config: ResolvedRouterConfig, id: number): boolean {
  return id >= config.expertRange[0] && id < config.expertRange[1];
}

function signedId(id: number | bigint): number {
  const value = Number(id);
  return value === 0xffffffff ? -1 : value;
}

function shapeProblems(config: ResolvedRouterConfig, tokens: number, output: RouterOutput): string[] {
  const slots = tokens * config.topK;
  const idsType = { i32: Int32Array, u32: Uint32Array, i64: BigInt64Array }[config.idsDtype];
  const problems: string[] = [];
  const expect = (name: string, found: unknown, wanted: unknown): void => {
    if (found !== wanted) problems.push(`${name} is ${String(found)} where ${String(wanted)} is due`);
  };
  expect('tokens', output.tokens, tokens);
  expect('the type of ids', output.ids.constructor.name, idsType.name);
  expect('the length of ids', output.ids.length, slots);
  expect('the type of weights', output.weights.constructor.name, 'Float32Array');
  expect('the length of weights', output.weights.length, slots);
  expect('the presence of tokenExpertIndices', output.tokenExpertIndices !== undefined, config.tokenExpertIndices);
  expect('the presence of dispatchPlan', output.dispatchPlan !== undefined, config.dispatchPlan);
  const hasTiles = output.dispatchPlan?.expertTiles !== undefined;
  expect('the presence of expertTiles', hasTiles, config.expertTiles !== null);
  return problems;
}

/** What is wrong with token_expert_indices and with the dispatch plan, given the output's own ids. */
function derivedProblems(config: ResolvedRouterConfig, tokens: number, output: RouterOutput): string[] {
  const { topK, experts } = config;
  const problems: string[] = [];
  if (output.tokenExpertIndices !== undefined) {
    const expected = Int32Array.from(
      { length: tokens * topK },
      (_, slot) => (slot % topK) * tokens + Math.floor(slot / topK),
    );
    pushDifference(problems, 'tokenExpertIndices', output.tokenExpertIndices, expected);
  }
  if (output.dispatchPlan !== undefined) {
    problems.push(...planProblems(output.dispatchPlan, output.ids, experts, tileShapeOf(config)));
  }
  return problems;
}

/** What is wrong with the dispatch plan of ids [T, K], in words; empty where it is right. */
export function planProblems(
  { expertOffsets, sortedSlots, expertTiles }: DispatchPlan,
  ids: ExpertIds,
  experts: number,
  tiles: ExpertTileShape | null = null,
): string[] {
  const problems: string[] = [];
  const expected = buildDispatchPlan(ids, experts, tiles);
  pushDifference(problems, 'expertOffsets', expertOffsets, expected.expertOffsets);
  pushDifference(problems, 'sortedSlots', sortedSlots, expected.sortedSlots);
  if (expertTiles !== undefined && expected.expertTiles !== undefined) {
    for (const list of ['counts', 'activeExperts', 'tileExperts', 'tileStarts'] as const) {
      pushDifference(problems, `expertTiles.${list}`, expertTiles[list], expected.expertTiles[list]);
    }
  }
  return problems;
}

function pushDifference(problems: string[], name: string, actual: Int32Array, expected: Int32Array): void {
  if (actual.length !== expected.length) {
    problems.push(`${name} has ${actual.length} elements where ${expected.length} are due`);
    return;
  }
  const position = actual.findIndex((value, i) => value !== expected[i]);
  if (position !== -1) {
    problems.push(`${name}[${position}] is ${actual[position]} where ${expected[position]} is due`);
  }
}
