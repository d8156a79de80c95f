/** The router's WGSL for one configuration and launch shape. */

import { expandTemplate } from '@switchyard/gpu/webgpu';
import type { ResolvedRouterConfig } from '../contract.ts';
import { selectInChunks } from './chunk-selection-code.ts';
import { hasRange, ranksByChoice } from '../derived-config.ts';
import { chunksKept, isPartial, keyBytes } from './launch-shape.ts';
import type { ExchangePath, LaunchShape } from './launch-shape.ts';
import { makesKeysUnchecked, mergeLanes, selectInLane } from './selection-code.ts';
import { indent, pickByLane } from './sorted-list-code.ts';
import { SCORES_WGSL } from './wgsl/scores.ts';
import { TOPK_GATING_SOFTMAX_WGSL } from './wgsl/topk-gating-softmax.ts';

/** What the shader depends on beside the configuration. */
export interface RouterShaderOptions {
  readonly shape: LaunchShape;
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
}

/** The words of one row of an output, and how they are written. */
interface OutputRow {
  readonly buffer: string;
  /** Where the output starts in its binding, with a plus sign behind it; empty where that is at 0. */
  readonly start: string;
  readonly scalar: 'u32' | 'f32' | 'i32';
  /** The words that a lane writes, as expressions: the whole row's, or those of its own slots. */
  readonly words: readonly string[];
}

/** Generates the WGSL of the entry point `route`. */
export function routerShader(config: ResolvedRouterConfig, options: RouterShaderOptions): string {
  const { shape, path, hasPadding, isAligned, isContiguous = false } = options;
  const { scoring, renormalize, logitsDtype, experts, expertRange, groups, topKGroups } = config;
  const isChoice = ranksByChoice(config);
  const isSoftmax = scoring === 'softmax';
  const isVector = shape.logitsPerLoad > 1;
  const hasRowSum = isSoftmax && (!renormalize || isChoice);
  const isF16Order = logitsDtype === 'f16' && !isChoice;
  const selection = shape.searchesChunks ? selectInChunks(config, shape, path) : selectInLane(config, shape);
  const merging = mergeLanes(config, shape, path, selection.length);
  const slots = slotsPerLane(config, shape);
  const hasSlotsByLane = slots < config.topK;
  const outputs = outputRows(config, slots, isContiguous);
  const elementOf = (buffer: string): string => {
    const row = outputs.find((output) => output.buffer === buffer);
    return row === undefined ? 'u32' : elementType(row, isAligned);
  };

  return expandTemplate(`${TOPK_GATING_SOFTMAX_WGSL}\n${SCORES_WGSL}`, {
    repeats: slots,
    flags: {
      SUBGROUPS: path === 'subgroups',
      TOKEN_EXPERT_INDICES: config.tokenExpertIndices,
      BIAS: config.correctionBias !== null,
      CONTIGUOUS: isContiguous,
      PADDING: hasPadding,
      SLOTS_CAN_BE_EMPTY: hasPadding || hasRange(config),
      PACKED_KEYS: keyBytes(config) === 4,
      EXCHANGE_THROUGH_MEMORY: path === 'workgroup' && shape.lanes > 1,
      CELLS: isChoice || hasRowSum || hasSlotsByLane,
      CELLS_IN_MEMORY: path === 'workgroup' && (isChoice || hasRowSum || hasSlotsByLane),
      F16: logitsDtype === 'f16',
      F16_ORDER: isF16Order,
      WIDENED_F16: logitsDtype === 'f16' && isChoice,
      HALVES: logitsDtype !== 'f32',
      VECTORS: isVector,
      UNCHECKED_KEYS: makesKeysUnchecked(config, shape),
      CHUNKS: shape.searchesChunks,
      PARTIAL_ROWS: isPartial(config, shape),
      SOFTMAX: isSoftmax,
      SIGMOID: scoring === 'sigmoid',
      SQRTSOFTPLUS: scoring === 'sqrtsoftplus',
      RENORMALIZE: renormalize,
      SORTED_SHARES: hasSortedShares(config),
      SLOTS_BY_LANE: hasSlotsByLane,
      INFINITE_SCORES: scoring === 'sqrtsoftplus' && renormalize,
      ROW_SUM: hasRowSum,
      CHOICE: isChoice,
      GROUPS: topKGroups < groups,
      ACCURATE_EXP: isChoice,
    },
    texts: {
      LOGITS_ELEMENT: isVector ? 'vec4<u32>' : 'u32',
      WEIGHTS_ELEMENT: elementOf('weights'),
      IDS_ELEMENT: elementOf('ids'),
      INDICES_ELEMENT: elementOf('token_expert_indices'),
      EXPERTS: experts,
      TOP_K: config.topK,
      LANES: shape.lanes,
      WORKGROUP_SIZE: shape.workgroupSize,
      LOGITS_PER_LOAD: shape.logitsPerLoad,
      NEGATIVE_INFINITY_ORDER: isF16Order ? '0x04000000' : '0x00800000',
      POSITIVE_INFINITY_ORDER: isF16Order ? '0xFC000000' : '0xFF800000',
      EXCHANGE_SIZE: shape.workgroupSize * (shape.searchesChunks ? chunksKept(config) : config.topK),
      EXP: isChoice ? 'accurate_exp' : 'exp',
      GROUP_SIZE: experts / groups,
      TOP_K_GROUPS: topKGroups,
      SELECT_IN_LANE: indent(selection.code, 1),
      MERGE_LANES: indent([...merging.code, ...winnersOfLane(merging.list, slots)], 1),
      WEIGHT_STORES: config.topK / storeWidth(slots, isAligned),
      TOP_ORDER: hasSlotsByLane ? orderOf(config, merging.list[0]) : 'order_0',
      LAST_SLOT: slots - 1,
      SCALE: f32Literal(config.routedScalingFactor),
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
      STORES: storeRows(config, shape, outputs, isAligned),
    },
  }).replaceAll(/\n{3,}/g, '\n\n');
}

/** The 32-bit words that one store of each output writes. Starts are counted in these. */
export function wordsPerStore(
  config: ResolvedRouterConfig,
  shape: LaunchShape,
  isAligned: boolean,
): { weights: number; ids: number } {
  const slots = slotsPerLane(config, shape);
  const idWords = config.idsDtype === 'i64' ? 2 * slots : slots;
  return { weights: storeWidth(slots, isAligned), ids: storeWidth(idWords, isAligned) };
}

/**
 * The slots of a token whose weights one lane computes and writes: all K where every lane computes all, for one of them
 * to write; where instructions count and K divides among the lanes, a lane's share.
 */
function slotsPerLane(config: ResolvedRouterConfig, shape: LaunchShape): number {
  const isShared = shape.searchesChunks && hasSortedShares(config) && config.topK % shape.lanes === 0;
  return isShared ? config.topK / shape.lanes : config.topK;
}

/** Whether the shares of the winners fall from the first to the last, and need nothing else of the row. */
function hasSortedShares(config: ResolvedRouterConfig): boolean {
  return config.scoring === 'softmax' && config.renormalize && !ranksByChoice(config);
}

function winnersOfLane(winners: readonly string[], slots: number): string[] {
  return Array.from({ length: slots }, (_, k) => {
    const ofLanes = winners.filter((_winner, slot) => slot % slots === k);
    return `let winner_${k} = ${slots < winners.length ? pickByLane(ofLanes) : winners[k]};`;
  });
}

function orderOf(config: ResolvedRouterConfig, key: string | undefined): string {
  return keyBytes(config) === 4 ? `${key} & 0xFFFF0000u` : `${key}.x`;
}

function outputRows(config: ResolvedRouterConfig, slotsOfLane: number, isContiguous: boolean): OutputRow[] {
  const slots = Array.from({ length: slotsOfLane }, (_, k) => k);
  const ids = slots.flatMap((k) => {
    if (config.idsDtype !== 'i64') return [`final_id_${k}`];
    // The upper word of an i64: the sign of the lower one.
    return [`final_id_${k}`, `u32(i32(final_id_${k}) >> 31u)`];
  });
  const startOf = (name: string): string => (isContiguous ? '' : `call.${name}_start + `);
  const token = isContiguous ? 'token' : 'call.first_token + token';
  const tokens = isContiguous ? 'tokens' : 'call.all_tokens';
  const slot = (k: number): string => (slotsOfLane < config.topK ? `(lane * ${slotsOfLane}u + ${k}u)` : `${k}u`);
  const rows: OutputRow[] = [
    { buffer: 'weights', start: startOf('weights'), scalar: 'f32', words: slots.map((k) => `weight_${k}`) },
    { buffer: 'ids', start: startOf('ids'), scalar: 'u32', words: ids },
  ];
  if (config.tokenExpertIndices) {
    rows.push({
      buffer: 'token_expert_indices',
      start: startOf('indices'),
      scalar: 'u32',
      words: slots.map((k) => `${token} + ${slot(k)} * ${tokens}`),
    });
  }
  return rows;
}

function storeWidth(words: number, isAligned: boolean): number {
  if (!isAligned) return 1;
  if (words % 4 === 0) return 4;
  return words % 2 === 0 ? 2 : 1;
}

function elementType(row: OutputRow, isAligned: boolean): string {
  const width = storeWidth(row.words.length, isAligned);
  return width === 1 ? row.scalar : `vec${width}<${row.scalar}>`;
}

/**
 * The stores of a lane's slots. Where all lanes have the same ones each store goes to another lane in turn, so that one
 * instruction of the wave writes many of them.
 */
function storeRows(
  config: ResolvedRouterConfig,
  shape: LaunchShape,
  rows: readonly OutputRow[],
  isAligned: boolean,
): string {
  const hasOwnSlots = slotsPerLane(config, shape) < config.topK;
  const statements = rows.flatMap((row) => {
    const width = storeWidth(row.words.length, isAligned);
    const stores = row.words.length / width;
    return Array.from({ length: stores }, (_, i) => {
      const words = row.words.slice(i * width, (i + 1) * width);
      const value = width === 1 ? words[0] : `${elementType(row, isAligned)}(${words.join(', ')})`;
      const first = hasOwnSlots ? `(token * LANES + lane) * ${stores}u` : `token * ${stores}u`;
      return `${row.buffer}[${row.start}${first} + ${i}u] = ${value};`;
    });
  });
  if (hasOwnSlots || shape.lanes === 1) return indent(statements, 1);
  return Array.from({ length: shape.lanes }, (_, lane) => statements.filter((_store, i) => i % shape.lanes === lane))
    .map((lines, lane) => ({ lines, lane }))
    .filter(({ lines }) => lines.length > 0)
    .map(({ lines, lane }) => [`  if (lane == ${lane}u) {`, indent(lines, 2), '  }'].join('\n'))
    .join('\n');
}

/** A finite f32 as an exact WGSL literal. */
function f32Literal(value: number): string {
  const text = String(Math.fround(value));
  return /[.e]/.test(text) ? `${text}f` : `${text}.0f`;
}
