/**
 * Which ids a row may have where the ranking is by choice score: f32 arithmetic decides the order of two experts only
 * where their choice scores differ by more than rounding. Experts of equal logit and equal bias keep their order.
 */

import type { ResolvedRouterConfig } from '../contract.ts';
import { groupOf, groupRanks, ranksByChoiceScore } from '../reference.ts';
import type { RankedRow } from '../reference.ts';

/**
 * Whether an implementation may answer `ids` for a row.
 *
 * @param row the row's logits, f64 [E]
 * @param ranked the reference's answer
 * @param ids K ids, best first, before padding and the expert range are applied
 */
export function acceptsIds(
  config: ResolvedRouterConfig,
  row: Float64Array,
  ranked: RankedRow,
  ids: readonly number[],
): boolean {
  if (ids.length === ranked.ids.length && ids.every((id, k) => id === ranked.ids[k])) return true;
  if (!ranksByChoiceScore(config)) return false;
  const areIds = ids.every((id) => Number.isInteger(id) && id >= 0 && id < config.experts);
  if (ids.length !== config.topK || !areIds || new Set(ids).size !== ids.length) return false;
  return groupsCanStay(config, row, ranked, ids);
}

/**
 * Whether some set of topKGroups groups holds all ids, has each group that is clearly in, none that is clearly out, and
 * no expert that had to come before one of the ids. What an expert demands of the ids does not depend on the other
 * groups, so each group is judged alone.
 */
function groupsCanStay(
  config: ResolvedRouterConfig,
  row: Float64Array,
  ranked: RankedRow,
  ids: readonly number[],
): boolean {
  const { certain, open } = groupsByRank(config, row, ranked);
  const needed = new Set([...certain, ...ids.map((id) => groupOf(config, id))]);
  const allowed = new Set([...certain, ...open]);
  if (needed.size > config.topKGroups || [...needed].some((group) => !allowed.has(group))) return false;
  const isOrdered = (group: number): boolean => mayFollow(config, row, ranked, ids, group);
  if (![...needed].every(isOrdered)) return false;
  return open.filter((group) => !needed.has(group) && isOrdered(group)).length >= config.topKGroups - needed.size;
}

/** Whether each id may stand before every expert of `group` that comes after it or not at all. */
function mayFollow(
  config: ResolvedRouterConfig,
  row: Float64Array,
  ranked: RankedRow,
  ids: readonly number[],
  group: number,
): boolean {
  const size = config.experts / config.groups;
  const members = Array.from({ length: size }, (_, i) => group * size + i);
  return ids.every((id, k) =>
    members.every((other) => {
      const position = ids.indexOf(other);
      return (position >= 0 && position <= k) || mayPrecede(config, row, ranked, id, other);
    }),
  );
}

function mayPrecede(
  config: ResolvedRouterConfig,
  row: Float64Array,
  ranked: RankedRow,
  id: number,
  other: number,
): boolean {
  const choice = ranked.choice[id] ?? NaN;
  const otherChoice = ranked.choice[other] ?? NaN;
  if (isTied(config, row, id, other)) return id < other;
  // Two NaN logits are tied above; one alone has choice -Infinity and is never within rounding of a number.
  return choice > otherChoice - ((ranked.rounding[id] ?? 0) + (ranked.rounding[other] ?? 0));
}

/**
 * Whether two experts have the same logit and bias. The same arithmetic gives them the same choice score to the bit; one
 * that does not, because it is fused for one expert and not for the other, is not excused as rounding.
 */
function isTied(config: ResolvedRouterConfig, row: Float64Array, a: number, b: number): boolean {
  const first = row[a] ?? NaN;
  const second = row[b] ?? NaN;
  const sameLogit = first === second || (Number.isNaN(first) && Number.isNaN(second));
  return sameLogit && (Number.isNaN(first) || (config.correctionBias?.[a] ?? 0) === (config.correctionBias?.[b] ?? 0));
}

/** The groups that stay whatever the rounding, and those within rounding of the edge. */
function groupsByRank(
  config: ResolvedRouterConfig,
  row: Float64Array,
  ranked: RankedRow,
): { readonly certain: readonly number[]; readonly open: readonly number[] } {
  const { groups, topKGroups } = config;
  const all = Array.from({ length: groups }, (_, group) => group);
  if (topKGroups === groups) return { certain: all, open: [] };
  const ranks = groupRanks(config, ranked.choice);
  const roundings = all.map((group) => groupRounding(config, ranked, group));
  const bests = all.map((group) =>
    rankingMembers(config, ranked, group)
      .map((e) => `${row[e]} ${config.correctionBias?.[e] ?? 0}`)
      // Two of one choice score may stand in either order, and sum up to the same.
      .sort()
      .join(),
  );
  const beats = (a: number, b: number): boolean => {
    if (bests[a] === bests[b]) return a < b;
    const [rankA, rankB] = [ranks[a] ?? NaN, ranks[b] ?? NaN];
    if (rankA === rankB && !Number.isFinite(rankA)) return a < b;
    return rankA > rankB + (roundings[a] ?? 0) + (roundings[b] ?? 0);
  };
  const isIn = (group: number): boolean =>
    all.filter((other) => other !== group && !beats(group, other)).length < topKGroups;
  const isOut = (group: number): boolean =>
    all.filter((other) => other !== group && beats(other, group)).length >= topKGroups;
  return { certain: all.filter(isIn), open: all.filter((group) => !isIn(group) && !isOut(group)) };
}

function groupRounding(config: ResolvedRouterConfig, ranked: RankedRow, group: number): number {
  return rankingMembers(config, ranked, group).reduce((sum, expert) => sum + (ranked.rounding[expert] ?? 0), 0);
}

/** The ids of the choice scores that a group ranks by, best first: its two best (its only one where it has one), or its best. */
function rankingMembers(config: ResolvedRouterConfig, ranked: RankedRow, group: number): readonly number[] {
  const size = config.experts / config.groups;
  const members = Array.from({ length: size }, (_, i) => group * size + i);
  return members
    .sort((a, b) => (ranked.choice[b] ?? NaN) - (ranked.choice[a] ?? NaN) || a - b)
    .slice(0, config.groupScore === 'max' ? 1 : 2);
}
