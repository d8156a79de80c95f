/** How a dispatch plan is made beside the routing of T tokens: in how many launches, and by blocks of what shape. */

import type { KernelTarget } from '@switchyard/gpu';
import type { ResolvedRouterConfig } from '../../contract.ts';
import { ranksByChoice } from '../../derived-config.ts';
import type { LaunchGeometry } from './launch-geometry.ts';
import {
  canSearchChunks,
  fitLanes,
  lanesThatFitGroups,
  mostPerLane,
  nextPowerOfTwo,
  wholeWaveLoadBytes,
} from './launch-geometry.ts';

/**
 * How much of the plan a routing launch makes; the place of each is its ROUTER_PLAN (parts/plan_in_router.hip). `'alone'`:
 * all, in its only block. `'last'`: all, in the block that arrives last. `'rows'`: a row of the workspace in each block,
 * from which a second launch makes the plan.
 */
export const PLAN_SHARES = ['none', 'alone', 'last', 'rows'] as const;
export type PlanShare = (typeof PLAN_SHARES)[number];

/** The shape of a routing launch that makes a plan, or part of one. */
export interface PlanGeometry extends LaunchGeometry {
  readonly planShare: PlanShare;
  /** How many times a block takes tokens. */
  readonly turns: number;
}

/** Threads of a block where each takes many registers. */
const FEW_THREADS = 128;
/** Rows of the workspace whose slots a block places at once, where the last block does it and on AMD. */
export const ROW_GROUP = 4;
/** The most shared memory that a kernel may declare on every device. */
const SHARED_BYTES = 48 * 1024;
/** Counts and ranks in a row are bytes. */
const MOST_ROW_TOKENS = 128;
/** More turns would leave multiprocessors without a block. */
const MOST_TURNS = 4;
/**
 * Up to so many slots and logits one block is the fastest, as measured on an H100; on AMD, where a second launch costs
 * more, it is taken to be.
 */
const MOST_ALONE = { slots: 512, logits: 16384 };
/** From so many tokens on one block lets the kernel after it begin later, as measured on an H200. */
const LONG_TOKENS = 16;
/** Up to so many slots the last block makes the plan. On NVIDIA a second launch, which overlaps, is the faster. */
const MOST_SLOTS_OF_LAST_BLOCK = { nvidia: 0, amd: 8192 } as const;

/** What is known of a launch: T, and the most bytes that the rows' alignment lets one load bring. */
interface Launch {
  readonly tokens: number;
  readonly loadBytes: number;
}

/** Chooses how the plan of T tokens is made. */
export function choosePlanGeometry(config: ResolvedRouterConfig, target: KernelTarget, launch: Launch): PlanGeometry {
  const { tokens } = launch;
  const isFew = tokens * config.topK <= MOST_ALONE.slots && tokens * config.experts <= MOST_ALONE.logits;
  const alone = isFew || tokens <= 1 ? aloneGeometry(config, target, launch) : null;
  if (alone !== null) return alone;
  if (tokens * config.topK <= MOST_SLOTS_OF_LAST_BLOCK[target.vendor]) return lastGeometry(config, launch);
  return rowsGeometry(config, target, launch);
}

/**
 * T, and of the numbers of tokens below it the last of each range: all plans of a range that take scratch memory are made in
 * one way, by blocks of one shape.
 */
export function planRangeEnds({ topK }: ResolvedRouterConfig, { vendor }: KernelTarget, tokens: number): number[] {
  const powers = Array.from({ length: 31 }, (_, power) => 2 ** power);
  const ofLastBlock = Math.floor(MOST_SLOTS_OF_LAST_BLOCK[vendor] / topK);
  return [tokens, ...[...powers, ofLastBlock].filter((end) => end > 0 && end < tokens)];
}

/** The shape of one block that routes every token; null where it would need too many threads or too much shared memory. */
export function aloneGeometry(config: ResolvedRouterConfig, target: KernelTarget, launch: Launch): PlanGeometry | null {
  const isNvidia = target.vendor === 'nvidia';
  const tokens = nextPowerOfTwo(launch.tokens);
  // As few threads as keep a lane's share of the row small: every one of them costs time at every barrier.
  const leastThreads = Math.min(isNvidia && (config.experts <= 128 || tokens > 8) ? 128 : 256, mostThreads(config));
  const mostLanes = isNvidia ? 32 : 16;
  const leastLanes = config.experts <= 32 ? 2 : 4;
  const lanes = Math.max(Math.min(mostLanes, leastThreads / tokens), leastLanes);
  const geometry = searchForm(config, launch, isNvidia, Math.min(lanes, mostLanes));
  const { lanesPerToken } = geometry;
  const threadsPerBlock = Math.max(leastThreads, lanesPerToken * tokens);
  const blockTokens = threadsPerBlock / lanesPerToken;
  // The number of bits before each word, beside the words.
  const needed = 1.5 * batchBytes(config, blockTokens) + positionBytes(config);
  // A block that works on many tokens is long at it: the kernel after would only be in the way.
  const nextBegins = !isNvidia ? 'at the end' : tokens >= LONG_TOKENS ? 'after winners' : 'after rows';
  const form = { ...geometry, threadsPerBlock, nextBegins } as const;
  const fits = needed + groupBytes(config, form) <= SHARED_BYTES;
  const most = Math.min(mostThreads(config), geometry.searchesChunks ? 512 : 256);
  return fits && threadsPerBlock <= most ? { ...form, planShare: 'alone', turns: 1 } : null;
}

/** Blocks of a few tokens each, the last of which to arrive makes the plan. */
export function lastGeometry(config: ResolvedRouterConfig, launch: Launch): PlanGeometry {
  const geometry = searchForm(config, launch, false, 16);
  const threadsPerBlock = Math.min(256, mostThreads(config));
  return { ...withinRow({ ...geometry, threadsPerBlock }), planShare: 'last', turns: 1 };
}

/** Blocks of more tokens than where there is no plan, so that there are fewer rows to add up. */
export function rowsGeometry(config: ResolvedRouterConfig, target: KernelTarget, launch: Launch): PlanGeometry {
  const { tokens } = launch;
  const isNvidia = target.vendor === 'nvidia';
  // Few long rows keep whole waves busy, as measured on an H200.
  const byWaves = isNvidia && tokens <= 128 && config.experts > 128;
  const geometry = searchForm(config, launch, isNvidia, byWaves ? 32 : tokens <= 128 ? 16 : tokens <= 512 ? 8 : 4);
  const threads = byWaves ? 256 : tokens <= 1024 ? 128 : tokens <= 4096 ? 256 : 512;
  const threadsPerBlock = Math.min(threads, mostThreads(config));
  const form = withinRow({
    ...geometry,
    threadsPerBlock,
    nextBegins: !isNvidia ? 'at the end' : tokens <= 1024 ? 'after rows' : 'after winners',
  });
  // As many tokens in a row of the workspace as those forms have that take few lanes for each.
  const wanted = tokens <= 128 ? 1 : tokens <= 512 ? 16 : tokens <= 1024 ? 32 : tokens <= 4096 ? 64 : MOST_ROW_TOKENS;
  const turns = Math.min(MOST_TURNS, Math.max(1, (wanted * form.lanesPerToken) / form.threadsPerBlock));
  return { ...form, planShare: 'rows', turns };
}

/** How the lanes of a token, `wanted` of them or the nearest number that can, search its row. */
function searchForm(
  config: ResolvedRouterConfig,
  { loadBytes }: Launch,
  mayUseChunks: boolean,
  wanted: number,
): LaunchGeometry {
  const form = { threadsPerBlock: FEW_THREADS, searchesChunks: false, nextBegins: 'at the end' } as const;
  const ranksByLogit = config.topK <= 8 && !ranksByChoice(config);
  const isLong = config.experts >= 128 && config.experts <= 128 * wanted;
  if (mayUseChunks && ranksByLogit && isLong && wanted <= 4 && canSearchChunks(config, wanted, loadBytes)) {
    return { ...form, lanesPerToken: wanted, loadBytes, searchesChunks: true };
  }
  const lanesPerToken = Math.max(wanted, config.experts / mostPerLane(config));
  const isWholeWave = mayUseChunks && lanesPerToken >= 32;
  return fitLanes(
    config,
    { ...form, lanesPerToken, loadBytes: isWholeWave ? wholeWaveLoadBytes(config, loadBytes) : loadBytes },
    { loadBytes },
  );
}

/** The same with no more tokens in a block than a row of the workspace can hold. */
function withinRow(geometry: LaunchGeometry): LaunchGeometry {
  const { threadsPerBlock, lanesPerToken } = geometry;
  return { ...geometry, threadsPerBlock: Math.min(threadsPerBlock, MOST_ROW_TOKENS * lanesPerToken) };
}

/** Bytes of `Batch` (parts/plan_batch.hip). */
function batchBytes({ experts, topK }: ResolvedRouterConfig, tokens: number): number {
  return experts * (Math.ceil(tokens / 32) | 1) * 4 + tokens * topK * 2;
}

/** Bytes of `ExpertPositions` (parts/plan_outputs.hip), or a few more. */
function positionBytes({ experts, expertTiles }: ResolvedRouterConfig): number {
  return (expertTiles === null ? 1 : 2) * 4 * (experts + 1) + 128;
}

/** Shared memory that the DeepSeek-V3 rule takes where groups do not fit the lanes (parts/expert_groups.hip). */
function groupBytes(config: ResolvedRouterConfig, { lanesPerToken, threadsPerBlock }: LaunchGeometry): number {
  if (!isGroupedInSharedMemory(config)) return 0;
  return (threadsPerBlock / lanesPerToken) * (4 * config.experts + 9 * config.groups + 16);
}

function isGroupedInSharedMemory(config: ResolvedRouterConfig): boolean {
  return config.groups > 1 && lanesThatFitGroups(config, 16) === null;
}

/** The most threads of a block: fewer where each takes many registers, or much shared memory. */
export function mostThreads(config: ResolvedRouterConfig): number {
  const isHeavy = config.topK > 10 || config.experts > 512 || isGroupedInSharedMemory(config);
  return isHeavy ? FEW_THREADS : 512;
}
