/**
 * From a router configuration to the kernel that serves it: the macros that the source is compiled with, the symbol
 * to look up, and the launch geometry. Every module holds one routing kernel. The number of lanes that share a token
 * depends on T, so a router that serves many T holds a few specialisations; their symbols differ.
 */

import type { KernelTarget } from '@switchyard/gpu';
import type { LogitsDtype, ResolvedRouterConfig } from '../../contract.ts';
import { hasRange, idBytes, logitBytes } from '../../derived-config.ts';
import type { KernelSourceName } from './source.ts';
import { chooseGeometry } from './launch-geometry.ts';
import { choosePlanGeometry, PLAN_SHARES, ROW_GROUP } from './plan-geometry.ts';
import type { PlanGeometry, PlanShare } from './plan-geometry.ts';

/** What is known of the launches that a kernel will serve. */
export interface LaunchHint {
  /** T, or the largest T expected. */
  readonly tokens: number;
  /** Whether a padding mask or a row count is passed. Defaults to false. */
  readonly padding?: boolean;
  /**
   * The largest power of two, in bytes, that divides the logits address and the row stride; see `logitsAlignment`.
   * Defaults to what contiguous rows from an allocation have.
   */
  readonly alignment?: number;
}

/** One compiled form of the routing kernel. */
export interface KernelSpecialization {
  /** The kernel's name in its module; it names everything that the code depends on but the architecture. */
  readonly symbol: string;
  /** Pass each as -Dname=value. */
  readonly defines: Readonly<Record<string, string | number>>;
  /** The translation unit; its text is `kernelSource(source)`. */
  readonly source: KernelSourceName;
  /** Lanes that share a token: a power of two up to the wave size. */
  readonly lanesPerToken: number;
  readonly tokensPerBlock: number;
  readonly threadsPerBlock: number;
  /** Bytes of one load; the logits address and the row stride in bytes must be multiples of it. */
  readonly loadBytes: number;
  /** Whether chunks of one load are ranked first, and the experts of the best ones read again. */
  readonly searchesChunks: boolean;
  /** How much of the dispatch plan a launch makes; `'none'` where the configuration asks for no plan. */
  readonly planShare: PlanShare;
  /** Whether it takes the height of tiles, which it lists, as its last argument. */
  readonly listsTiles: boolean;
}

/**
 * The alignment, 1 to 16 bytes, that logits at `address` with this row stride have.
 *
 * @param rowStride elements from one row to the next
 */
export function logitsAlignment(address: bigint, rowStride: number, dtype: LogitsDtype): number {
  const strideBytes = BigInt(rowStride) * BigInt(logitBytes(dtype));
  const bits = address | strideBytes | 16n;
  return Number(bits & -bits);
}

/** Chooses the kernel form for a configuration on a target. */
export function specialize(config: ResolvedRouterConfig, target: KernelTarget, hint: LaunchHint): KernelSpecialization {
  const bytes = logitBytes(config.logitsDtype);
  const contiguous = logitsAlignment(0n, config.experts, config.logitsDtype);
  const mostLoadBytes = Math.max(bytes, Math.min(contiguous, hint.alignment ?? 16));
  const launch = { tokens: hint.tokens, loadBytes: mostLoadBytes };
  const geometry: PlanGeometry = config.dispatchPlan
    ? choosePlanGeometry(config, target, launch)
    : { ...chooseGeometry(config, target, launch), planShare: 'none', turns: 1 };
  return specializeTo(config, target, geometry, hint.padding === true);
}

/** The kernel form of a configuration with this geometry. */
export function specializeTo(
  config: ResolvedRouterConfig,
  target: KernelTarget,
  geometry: PlanGeometry,
  padding: boolean,
): KernelSpecialization {
  const { loadBytes, planShare } = geometry;
  const tokensPerBlock = (geometry.turns * geometry.threadsPerBlock) / geometry.lanesPerToken;
  const isRanged = hasRange(config);
  const hasBias = config.correctionBias !== null;
  const hasGroups = config.groups > 1;
  // Blocks that leave a row behind list no tiles.
  const listsTiles = config.expertTiles !== null && (planShare === 'alone' || planShare === 'last');

  const symbol = [
    'topk_gating_softmax',
    `e${config.experts}`,
    `k${config.topK}`,
    config.logitsDtype,
    config.idsDtype === 'i64' ? 'i64' : 'i32',
    config.scoring,
    config.renormalize ? 'renormalize' : 'plain',
    ...(hasBias ? ['bias'] : []),
    ...(hasGroups ? [`groups${config.groups}of${config.topKGroups}${config.groupScore === 'max' ? 'max' : ''}`] : []),
    ...(isRanged ? ['range'] : []),
    ...(config.tokenExpertIndices ? ['tei'] : []),
    ...(padding ? ['padding'] : []),
    `load${loadBytes}`,
    `lanes${geometry.lanesPerToken}`,
    ...(geometry.searchesChunks ? ['chunks'] : []),
    ...{ 'at the end': [], 'after rows': ['trigger'], 'after winners': ['latetrigger'] }[geometry.nextBegins],
    ...(planShare === 'none' ? [] : [`plan_${planShare}`]),
    ...(geometry.turns === 1 ? [] : [`turns${geometry.turns}`]),
    ...(listsTiles ? ['tiles'] : []),
    `threads${geometry.threadsPerBlock}`,
  ].join('_');

  return {
    symbol,
    defines: {
      ROUTER_SYMBOL: symbol,
      ROUTER_WAVE_SIZE: target.waveSize,
      ROUTER_EXPERTS: config.experts,
      ROUTER_TOP_K: config.topK,
      ROUTER_LOGITS_DTYPE: { bf16: 0, f16: 1, f32: 2 }[config.logitsDtype],
      ROUTER_IDS_BYTES: idBytes(config.idsDtype),
      ROUTER_SCORING: { softmax: 0, sigmoid: 1, sqrtsoftplus: 2 }[config.scoring],
      ROUTER_RENORMALIZE: Number(config.renormalize),
      ROUTER_CORRECTION_BIAS: Number(hasBias),
      ROUTER_GROUPS: config.groups,
      ROUTER_TOP_K_GROUPS: config.topKGroups,
      ROUTER_GROUP_SCORE: { 'top2-sum': 0, max: 1 }[config.groupScore],
      ROUTER_EXPERT_RANGE: Number(isRanged),
      ROUTER_TOKEN_EXPERT_INDICES: Number(config.tokenExpertIndices),
      ROUTER_PADDING: Number(padding),
      ROUTER_LOAD_BYTES: loadBytes,
      ROUTER_LANES: geometry.lanesPerToken,
      ROUTER_CHUNKS: Number(geometry.searchesChunks),
      ROUTER_EARLY_TRIGGER: { 'at the end': 0, 'after rows': 1, 'after winners': 2 }[geometry.nextBegins],
      ROUTER_THREADS: geometry.threadsPerBlock,
      ROUTER_PLAN: PLAN_SHARES.indexOf(planShare),
      ROUTER_BLOCK_TOKENS: tokensPerBlock,
      ROUTER_ROW_GROUP: ROW_GROUP,
      ROUTER_EXPERT_TILES: Number(listsTiles),
    },
    source: 'topk_gating_softmax',
    lanesPerToken: geometry.lanesPerToken,
    tokensPerBlock,
    threadsPerBlock: geometry.threadsPerBlock,
    loadBytes,
    searchesChunks: geometry.searchesChunks,
    planShare,
    listsTiles,
  };
}

/**
 * Blocks (one dimension) that a launch over T tokens takes; 0 means that there is nothing to launch. The plan of no tokens
 * has to be written.
 */
export function gridSize(specialization: KernelSpecialization, tokens: number): number {
  const blocks = Math.ceil(tokens / specialization.tokensPerBlock);
  return specialization.planShare === 'none' ? blocks : Math.max(blocks, 1);
}
