/**
 * The oracle: the rules of contract.ts as code, in f64, written to be read. Every implementation is compared with it,
 * the CPU one included. Nothing here is fast.
 */

import { MAX_F32, RENORMALIZE_EPSILON } from './contract.ts';
import { checkRouteArguments, resolveRouterConfig } from './resolve-config.ts';
import type {
  ExpertIds,
  IdsDtype,
  Logits,
  ResolvedRouterConfig,
  RouteOptions,
  RouterConfig,
  RouterOutput,
} from './contract.ts';
import { buildDispatchPlan } from './dispatch-plan.ts';
import { logitDecoder } from './number-formats.ts';

/** One row's logits as f64 [E]. */
type Row = Float64Array;

/** How one row ranks. */
export interface RankedRow {
  /** The K winners, best first, before padding and the expert range are applied. */
  readonly ids: readonly number[];
  /** f64 [E]: what the ranking compares. The logit where there is neither a bias nor a group, else the choice score. */
  readonly choice: Float64Array;
  /**
   * f64 [E]: how far an f32 computation of `choice` may lie from it. 0 where the ranking is by the logit. The order of
   * two experts is decided only where their choices differ by more than both roundings together.
   */
  readonly rounding: Float64Array;
}

/** What f32 arithmetic may add to a choice score, relative to |score| + |bias|. */
const CHOICE_RELATIVE_ROUNDING = 2e-6;
/** What f32 arithmetic may add in any case: hardware may flush numbers below 2^-126 to 0. */
const CHOICE_ABSOLUTE_ROUNDING = 2 ** -125;

/**
 * Routes T rows by the letter of the contract.
 *
 * @param logits [T, rowStride], as `Router.route` takes them
 * @throws InvalidConfigError, InvalidArgumentError
 */
export function referenceRoute(config: RouterConfig, logits: Logits, options?: RouteOptions): RouterOutput {
  const resolved = resolveRouterConfig(config);
  const { experts, topK } = resolved;
  const { tokens, rowStride, paddingMask, rowCount } = checkRouteArguments(resolved, logits, options);
  const [rangeStart, rangeEnd] = resolved.expertRange;
  const ids: number[] = [];
  const weights = new Float32Array(tokens * topK);
  const tokenExpertIndices = new Int32Array(tokens * topK);

  for (let token = 0; token < tokens; token++) {
    const isPadding = token >= rowCount || (paddingMask !== null && paddingMask[token] !== 0);
    const row = readRow(resolved, logits, token * rowStride);
    const winners = rankRow(resolved, row).ids;
    const rowWeights = weightsOf(resolved, row, winners);
    winners.forEach((id, k) => {
      const isOwned = id >= rangeStart && id < rangeEnd;
      ids.push(isOwned && !isPadding ? id : -1);
      weights[token * topK + k] = isOwned && !isPadding ? (rowWeights[k] as number) : 0;
      tokenExpertIndices[token * topK + k] = k * tokens + token;
    });
  }

  const typedIds = idsAs(resolved.idsDtype, ids);
  return {
    tokens,
    ids: typedIds,
    weights,
    ...(resolved.tokenExpertIndices && { tokenExpertIndices }),
    ...(resolved.dispatchPlan && { dispatchPlan: buildDispatchPlan(typedIds, experts) }),
  };
}

/** The E logits that start at an element, as f64. */
export function readRow(config: ResolvedRouterConfig, logits: Logits, start: number): Float64Array {
  return Float64Array.from(logits.subarray(start, start + config.experts), logitDecoder(config.logitsDtype));
}

/** Whether a configuration ranks by the choice score; otherwise it ranks by the logit. */
export function ranksByChoiceScore(config: ResolvedRouterConfig): boolean {
  return config.correctionBias !== null || config.groups > 1;
}

/** Ranks one row of logits, f64 [E]. */
export function rankRow(config: ResolvedRouterConfig, row: Row): RankedRow {
  const { experts, topK, correctionBias } = config;
  const choice = new Float64Array(experts);
  const rounding = new Float64Array(experts);
  if (!ranksByChoiceScore(config)) {
    choice.set(row);
    return { ids: descending(choice).slice(0, topK), choice, rounding };
  }
  const scores = scoresForRanking(config, row);
  for (let expert = 0; expert < experts; expert++) {
    const logit = row[expert] as number;
    const bias = correctionBias?.[expert] ?? 0;
    const score = scores[expert] as number;
    choice[expert] = Number.isNaN(logit) ? -Infinity : Math.fround(Math.fround(score) + bias);
    rounding[expert] = CHOICE_RELATIVE_ROUNDING * (Math.abs(score) + Math.abs(bias)) + CHOICE_ABSOLUTE_ROUNDING;
  }
  const stays = stayingGroups(config, choice);
  const candidates = descending(choice).filter((expert) => stays.has(groupOf(config, expert)));
  return { ids: candidates.slice(0, topK), choice, rounding };
}

/** The group that an expert belongs to. */
export function groupOf(config: ResolvedRouterConfig, expert: number): number {
  return Math.floor(expert / (config.experts / config.groups));
}

/** Each group's rank, f64 [groups]: the sum of its two best choice scores, or its only one; or its best one. */
export function groupRanks(config: ResolvedRouterConfig, choice: Float64Array): Float64Array {
  const size = config.experts / config.groups;
  return Float64Array.from({ length: config.groups }, (_, group) => {
    const members = choice.slice(group * size, (group + 1) * size).sort();
    const best = members[size - 1] as number;
    const ranksByBest = size === 1 || config.groupScore === 'max';
    return ranksByBest ? best : Math.fround(best + (members[size - 2] as number));
  });
}

function stayingGroups(config: ResolvedRouterConfig, choice: Float64Array): ReadonlySet<number> {
  return new Set(descending(groupRanks(config, choice)).slice(0, config.topKGroups));
}

/** Positions by falling value; equal values keep their order, and NaN comes after -Infinity. */
function descending(values: Float64Array): number[] {
  return Array.from(values.keys()).sort((left, right) => {
    const a = values[left] as number;
    const b = values[right] as number;
    if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b)) || left - right;
    if (a === b) return left - right;
    return a > b ? -1 : 1;
  });
}

/**
 * The weights of any K distinct experts of a row, f64 [K], as the contract gives them to its winners.
 *
 * @param row f64 [E]
 * @param winners K expert ids
 */
export function weightsOf(config: ResolvedRouterConfig, row: Row, winners: readonly number[]): Float64Array {
  const logits = winners.map((expert) => row[expert] as number);
  const unscaled = Float64Array.from(unscaledWeights(config, row, logits));
  return unscaled.map((weight) => clampToF32(weight * Math.fround(config.routedScalingFactor)));
}

function unscaledWeights(config: ResolvedRouterConfig, row: Row, winners: readonly number[]): number[] {
  const { scoring, renormalize } = config;
  const equalShares = winners.map(() => 1 / winners.length);
  if (!isAnyAboveMinusInfinity(row)) return equalShares;
  if (scoring === 'softmax') {
    if (!renormalize) return softmaxShares(row, winners);
    return isAnyAboveMinusInfinity(winners) ? softmaxShares(winners, winners) : equalShares;
  }
  const infinite = countInfinite(winners);
  if (scoring === 'sqrtsoftplus' && renormalize && infinite > 0) {
    return winners.map((logit) => (logit === Infinity ? 1 / infinite : 0));
  }
  const scores = winners.map((logit) => (scoring === 'sigmoid' ? sigmoid(logit) : sqrtSoftplus(logit)));
  if (!renormalize) return scores;
  const sum = scores.reduce((total, score) => total + score, 0);
  return scores.map((score) => score / Math.max(sum, RENORMALIZE_EPSILON));
}

/** exp(x) of each given logit over the sum of exp over `all`, where at least one of `all` is above -Infinity. */
function softmaxShares(all: Row | readonly number[], logits: readonly number[]): number[] {
  const infinite = countInfinite(all);
  if (infinite > 0) return logits.map((logit) => (logit === Infinity ? 1 / infinite : 0));
  let largest = -Infinity;
  for (const logit of all) if (logit > largest) largest = logit;
  let sum = 0;
  for (const logit of all) sum += Number.isNaN(logit) ? 0 : Math.exp(logit - largest);
  return logits.map((logit) => (Number.isNaN(logit) ? 0 : Math.exp(logit - largest) / sum));
}

function scoresForRanking(config: ResolvedRouterConfig, row: Row): number[] {
  const logits = Array.from(row);
  if (config.scoring === 'sigmoid') return logits.map(sigmoid);
  if (config.scoring === 'sqrtsoftplus') return logits.map(sqrtSoftplus);
  return isAnyAboveMinusInfinity(row) ? softmaxShares(row, logits) : logits.map(() => 0);
}

/** 1 / (1 + e^-x); 0 for NaN. */
function sigmoid(logit: number): number {
  if (Number.isNaN(logit)) return 0;
  return logit >= 0 ? 1 / (1 + Math.exp(-logit)) : Math.exp(logit) / (1 + Math.exp(logit));
}

/** sqrt(log(1 + e^x)); 0 for NaN, the largest finite f32 for +Infinity. */
function sqrtSoftplus(logit: number): number {
  if (Number.isNaN(logit)) return 0;
  if (logit === Infinity) return MAX_F32;
  return Math.sqrt(Math.max(logit, 0) + Math.log1p(Math.exp(-Math.abs(logit))));
}

function isAnyAboveMinusInfinity(logits: Row | readonly number[]): boolean {
  return logits.some((logit: number) => logit > -Infinity);
}

function countInfinite(logits: Row | readonly number[]): number {
  let count = 0;
  for (const logit of logits) if (logit === Infinity) count++;
  return count;
}

function clampToF32(value: number): number {
  return Math.min(Math.max(value, -MAX_F32), MAX_F32);
}

function idsAs(dtype: IdsDtype, ids: readonly number[]): ExpertIds {
  if (dtype === 'i64') return BigInt64Array.from(ids, BigInt);
  return dtype === 'u32' ? Uint32Array.from(ids) : Int32Array.from(ids);
}
