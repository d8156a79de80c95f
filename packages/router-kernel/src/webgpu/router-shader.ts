/** The router's WGSL for one configuration and launch shape. */

import type { ResolvedRouterConfig } from '../contract.ts';
import { selectInChunks } from './chunk-selection-code.ts';
import { chunksKept, isPartial, keyBytes, ranksByChoice } from './launch-shape.ts';
import type { ExchangePath, LaunchShape } from './launch-shape.ts';
import { makesKeysUnchecked, mergeLanes, selectInLane } from './selection-code.ts';
import { indent } from './sorted-list-code.ts';
import { expandTemplate } from './template.ts';
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
  /** The row's words as expressions. */
  readonly words: readonly string[];
}

/** Generates the WGSL of the entry point `route`. */
export function routerShader(config: ResolvedRouterConfig, options: RouterShaderOptions): string {
  const { shape, path, hasPadding, isAligned, isContiguous = false } = options;
  const { scoring, renormalize, logitsDtype, experts, expertRange, groups, topKGroups } = config;
  const isChoice = ranksByChoice(config);
  const isSoftmax = scoring === 'softmax';
  const isVector = shape.logitsPerLoad > 1;
  const hasRange = expertRange[0] > 0 || expertRange[1] < experts;
  const hasRowSum = isSoftmax && (!renormalize || isChoice);
  const isF16Order = logitsDtype === 'f16' && !isChoice;
  const selection = shape.searchesChunks ? selectInChunks(config, shape, path) : selectInLane(config, shape);
  const merging = mergeLanes(config, shape, path, selection.length);
  const outputs = outputRows(config, isContiguous);
  const elementOf = (buffer: string): string => {
    const row = outputs.find((output) => output.buffer === buffer);
    return row === undefined ? 'u32' : elementType(row, isAligned);
  };

  return expandTemplate(TOPK_GATING_SOFTMAX_WGSL, {
    repeats: config.topK,
    flags: {
      SUBGROUPS: path === 'subgroups',
      TOKEN_EXPERT_INDICES: config.tokenExpertIndices,
      BIAS: config.correctionBias !== null,
      CONTIGUOUS: isContiguous,
      PADDING: hasPadding,
      SLOTS_CAN_BE_EMPTY: hasPadding || hasRange,
      PACKED_KEYS: keyBytes(config) === 4,
      EXCHANGE_THROUGH_MEMORY: path === 'workgroup' && shape.lanes > 1,
      CELLS: isChoice || hasRowSum,
      CELLS_IN_MEMORY: path === 'workgroup' && (isChoice || hasRowSum),
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
      SORTED_SHARES: isSoftmax && renormalize && !isChoice,
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
      MERGE_LANES: indent([...merging.code, ...merging.list.map((key, k) => `let winner_${k} = ${key};`)], 1),
      WEIGHT_STORES: config.topK / storeWidth(config.topK, isAligned),
      LAST_ORDER: `order_${config.topK - 1}`,
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
      STORES: storeRows(shape, outputs, isAligned),
    },
  }).replaceAll(/\n{3,}/g, '\n\n');
}

/** The 32-bit words that one store of each output writes. Starts are counted in these. */
export function wordsPerStore(config: ResolvedRouterConfig, isAligned: boolean): { weights: number; ids: number } {
  const idWords = config.idsDtype === 'i64' ? 2 * config.topK : config.topK;
  return { weights: storeWidth(config.topK, isAligned), ids: storeWidth(idWords, isAligned) };
}

function outputRows(config: ResolvedRouterConfig, isContiguous: boolean): OutputRow[] {
  const slots = Array.from({ length: config.topK }, (_, k) => k);
  const ids = slots.flatMap((k) => {
    if (config.idsDtype !== 'i64') return [`final_id_${k}`];
    // The upper word of an i64: the sign of the lower one.
    return [`final_id_${k}`, `u32(i32(final_id_${k}) >> 31u)`];
  });
  const startOf = (name: string): string => (isContiguous ? '' : `call.${name}_start + `);
  const token = isContiguous ? 'token' : 'call.first_token + token';
  const tokens = isContiguous ? 'tokens' : 'call.all_tokens';
  const rows: OutputRow[] = [
    { buffer: 'weights', start: startOf('weights'), scalar: 'f32', words: slots.map((k) => `weight_${k}`) },
    { buffer: 'ids', start: startOf('ids'), scalar: 'u32', words: ids },
  ];
  if (config.tokenExpertIndices) {
    rows.push({
      buffer: 'token_expert_indices',
      start: startOf('indices'),
      scalar: 'u32',
      words: slots.map((k) => (k === 0 ? token : `${token} + ${k}u * ${tokens}`)),
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

/** Each store goes to another lane in turn, so that one instruction of the wave writes many of them. */
function storeRows(shape: LaunchShape, rows: readonly OutputRow[], isAligned: boolean): string {
  const byLane = Array.from({ length: shape.lanes }, (): string[] => []);
  let store = 0;
  for (const row of rows) {
    const width = storeWidth(row.words.length, isAligned);
    const stores = row.words.length / width;
    for (let i = 0; i < stores; i++) {
      const words = row.words.slice(i * width, (i + 1) * width);
      const value = width === 1 ? words[0] : `${elementType(row, isAligned)}(${words.join(', ')})`;
      const at = `${row.start}token * ${stores}u + ${i}u`;
      byLane[store % shape.lanes]?.push(`${row.buffer}[${at}] = ${value};`);
      store++;
    }
  }
  if (shape.lanes === 1) return (byLane[0] ?? []).map((line) => `  ${line}`).join('\n');
  return byLane
    .map((lines, lane) => ({ lines, lane }))
    .filter(({ lines }) => lines.length > 0)
    .map(({ lines, lane }) => [`  if (lane == ${lane}u) {`, ...lines.map((line) => `    ${line}`), '  }'].join('\n'))
    .join('\n');
}

/** A finite f32 as an exact WGSL literal. */
function f32Literal(value: number): string {
  const text = String(Math.fround(value));
  return /[.e]/.test(text) ? `${text}f` : `${text}.0f`;
}
