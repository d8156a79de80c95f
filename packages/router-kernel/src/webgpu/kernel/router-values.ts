/** What the parts of the routing kernel are filled with, for one configuration and launch geometry. */

import type { ResolvedRouterConfig } from '../../contract.ts';
import { hasRange, ranksByChoice } from '../../derived-config.ts';
import type { GateShape } from '../../gate/gate-contract.ts';
import { bestOfChunks } from './chunks.ts';
import { correctionBiasOf, gateFlags, gateTexts } from './gate-values.ts';
import { keyForm } from './keys.ts';
import { mergeAcrossLanes } from './lane-exchange.ts';
import { chunksKept, hasPartialLoads, hasWideKeys } from './launch-geometry.ts';
import type { ExchangePath, LaunchGeometry } from './launch-geometry.ts';
import { bestOfRow, makesKeysUnchecked } from './rows.ts';
import { hasSortedShares, slotsPerLane, storesOf, storeWidth, winnersOfLane } from './stores.ts';

/** What the shader depends on beside the configuration. */
export interface RouterShaderOptions {
  readonly geometry: LaunchGeometry;
  readonly path: ExchangePath;
  /** Whether calls may have padding rows: a mask, or a row count below T. */
  readonly hasPadding: boolean;
  /** Whether outputs are written as vectors where their rows allow it. */
  readonly isAligned: boolean;
  /**
   * Whether rows of logits follow each other without gaps, and every binding holds its array and nothing else. The
   * shader then has no binding `call`. Not with padding. Defaults to false.
   */
  readonly isContiguous?: boolean;
  /**
   * The gate whose logits, of up to GATE_ROWS tokens, the same dispatch forms, along with the dispatch plan. Not where rows are
   * contiguous; see `gatedGeometry`. Defaults to none.
   */
  readonly gate?: GateShape | undefined;
}

/** A flag of the routing kernel. */
export type RouterFlag = keyof ReturnType<typeof flagsOf>;

/** What the parts ask with `#if`. */
export function flagsOf(
  config: ResolvedRouterConfig,
  { geometry, path, hasPadding, isContiguous = false, gate }: RouterShaderOptions,
) {
  const { scoring, renormalize, logitsDtype, groups, topKGroups } = config;
  const isByChoice = ranksByChoice(config);
  const isSoftmax = scoring === 'softmax';
  const hasRowSum = isSoftmax && (!renormalize || isByChoice);
  const hasSlotsByLane = slotsPerLane(config, geometry) < config.topK;
  const hasLaneSums = isByChoice || hasRowSum || hasSlotsByLane;
  return {
    // What calls bring.
    SUBGROUPS: path === 'subgroups',
    CONTIGUOUS: isContiguous,
    PADDING: hasPadding,
    TOKEN_EXPERT_INDICES: config.tokenExpertIndices,
    BIAS: config.correctionBias !== null,
    BIAS_BUFFER: config.correctionBias !== null && gate === undefined,
    SLOTS_CAN_BE_EMPTY: hasPadding || hasRange(config),
    // What the dispatch does beside routing.
    GATED: gate !== undefined,
    GATE_BIAS: false,
    HIDDEN_F32: false,
    ...(gate && gateFlags(gate)),
    PLAN: gate !== undefined && config.dispatchPlan,
    TILES: config.expertTiles !== null,
    // How rows are read and ranked.
    HALVES: logitsDtype !== 'f32',
    F16: logitsDtype === 'f16',
    F16_ORDER: isF16Order(config),
    WIDENED_F16: logitsDtype === 'f16' && isByChoice,
    VECTOR_LOADS: geometry.logitsPerLoad > 1,
    PARTIAL_LOADS: hasPartialLoads(config, geometry),
    PACKED_KEYS: !hasWideKeys(config),
    UNCHECKED_KEYS: makesKeysUnchecked(config, geometry),
    SEARCHES_CHUNKS: geometry.searchesChunks,
    RANKS_BY_CHOICE: isByChoice,
    GROUPS: topKGroups < groups,
    // What lanes tell each other.
    EXCHANGE_THROUGH_MEMORY: path === 'workgroup' && geometry.lanesPerToken > 1,
    LANE_SUMS: hasLaneSums,
    LANE_SUMS_THROUGH_MEMORY: path === 'workgroup' && hasLaneSums,
    SLOTS_BY_LANE: hasSlotsByLane,
    // How weights are made.
    SOFTMAX: isSoftmax,
    SCORES: !isSoftmax,
    SIGMOID: scoring === 'sigmoid',
    SQRTSOFTPLUS: scoring === 'sqrtsoftplus',
    ACCURATE_EXP: isByChoice,
    RENORMALIZE: renormalize,
    ROW_SUM: hasRowSum,
    SORTED_SHARES: hasSortedShares(config),
    TOP_OF_WINNERS: renormalize && isByChoice,
    INFINITE_SCORES: scoring === 'sqrtsoftplus' && renormalize,
  };
}

/** What the parts have in double braces. */
export function textsOf(
  config: ResolvedRouterConfig,
  { geometry, path, hasPadding, isAligned, isContiguous = false, gate }: RouterShaderOptions,
): Readonly<Record<string, string | number>> {
  const { experts, topK, groups, topKGroups, groupScore, scoring, renormalize, expertRange } = config;
  const { lanesPerToken, workgroupSize, logitsPerLoad, searchesChunks } = geometry;
  const form = { config, geometry, path };
  const best = searchesChunks ? bestOfChunks(form) : bestOfRow(form);
  const merged = mergeAcrossLanes(form, best.list);
  const slots = slotsPerLane(config, geometry);
  const stores = storesOf({ config, geometry, isAligned, isContiguous });
  return {
    ...(gate && gateTexts(gate)),
    LOGITS_ACCESS: gate === undefined ? 'read' : 'read_write',
    CORRECTION_BIAS: correctionBiasOf(config, gate),
    LOGITS_ELEMENT: logitsPerLoad > 1 ? 'vec4<u32>' : 'u32',
    WEIGHTS_ELEMENT: stores.elements.weights,
    IDS_ELEMENT: stores.elements.ids,
    INDICES_ELEMENT: stores.elements.token_expert_indices,
    EXPERTS: experts,
    TOP_K: topK,
    LANES: lanesPerToken,
    WORKGROUP_SIZE: workgroupSize,
    LOGITS_PER_LOAD: logitsPerLoad,
    NEGATIVE_INFINITY_ORDER: isF16Order(config) ? '0x04000000' : '0x00800000',
    POSITIVE_INFINITY_ORDER: isF16Order(config) ? '0xFC000000' : '0xFF800000',
    EXCHANGE_SIZE: workgroupSize * (searchesChunks ? chunksKept(config) : topK),
    GROUP_SIZE: experts / groups,
    TOP_K_GROUPS: topKGroups,
    RANKS_BY_BEST: groupScore === 'max' ? 'true' : 'GROUP_SIZE == 1u',
    EXP: ranksByChoice(config) ? 'accurate_exp' : 'exp',
    SCALE: f32Literal(config.routedScalingFactor),
    WEIGHT_STORES: topK / storeWidth(slots, isAligned),
    SELECT_IN_LANE: best.code.join('\n'),
    MERGE_ACROSS_LANES: [...merged.code, ...winnersOfLane(merged.list, slots)].join('\n'),
    TOP_ORDER: slots < topK ? keyForm(config).orderOf(merged.list[0] as string) : 'order_0',
    LAST_SLOT: slots - 1,
    IS_EMPTY: [
      ...(hasPadding ? ['is_padding'] : []),
      ...(expertRange[0] > 0 ? [`id_$k < ${expertRange[0]}u`] : []),
      ...(expertRange[1] < experts ? [`id_$k >= ${expertRange[1]}u`] : []),
    ].join(' || '),
    // Only an unbounded score can pass the largest f32 when it is scaled.
    WEIGHT:
      scoring === 'sqrtsoftplus' && !renormalize
        ? 'clamp(share_$k * unit, -LARGEST_F32, LARGEST_F32)'
        : 'share_$k * unit',
    STORES: stores.code.join('\n'),
  };
}

/** Whether orders are those of f16 bits, and not of an f32 or of bf16 bits, which are the upper half of an f32. */
function isF16Order(config: ResolvedRouterConfig): boolean {
  return config.logitsDtype === 'f16' && !ranksByChoice(config);
}

/** A finite f32 as an exact WGSL literal. */
function f32Literal(value: number): string {
  const text = String(Math.fround(value));
  return /[.e]/.test(text) ? `${text}f` : `${text}.0f`;
}
