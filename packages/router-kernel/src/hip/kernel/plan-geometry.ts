/** How a dispatch plan is made beside the routing of T tokens: in how many launches, and by blocks of what shape. */

import type { KernelTarget } from '@switchyard/gpu';
import type { ResolvedRouterConfig } from '../../contract.ts';
import type { LaunchGeometry } from './launch-geometry.ts';
import { chooseGeometry, fitLanes, lanesThatFitGroups, mostPerLane, wholeWaveLoadBytes } from './launch-geometry.ts';

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
}

/** Threads of a block that routes every token. */
const ALONE_THREADS = 512;
/** Threads of a block where each takes many registers. */
const FEW_THREADS = 128;
/** Threads of the blocks of the second launch. */
export const PLACE_THREADS = 256;
/** Rows of the workspace whose slots a block places at once. */
export const ROW_GROUP = 4;
/** The most shared memory that a kernel may declare on every device. */
const SHARED_BYTES = 48 * 1024;
/** Counts and ranks in a row are bytes. */
const MOST_ROW_TOKENS = 128;
/** Up to this many tokens one block is the fastest, as measured on an H100; on AMD, where a second launch costs more. */
const MOST_TOKENS_ALONE = { nvidia: 128, amd: 128 } as const;
/** Up to this many slots the last block makes the plan. On NVIDIA a second launch, which overlaps, is the faster. */
const MOST_SLOTS_OF_LAST_BLOCK = { nvidia: 0, amd: 8192 } as const;

/** What is known of a launch: T, and the most bytes that the rows' alignment lets one load bring. */
interface Launch {
  readonly tokens: number;
  readonly loadBytes: number;
}

/** Chooses how the plan of T tokens is made. */
export function choosePlanGeometry(config: ResolvedRouterConfig, target: KernelTarget, launch: Launch): PlanGeometry {
  const alone = launch.tokens <= MOST_TOKENS_ALONE[target.vendor] ? aloneGeometry(config, target, launch) : null;
  if (alone !== null) return alone;
  if (launch.tokens * config.topK <= MOST_SLOTS_OF_LAST_BLOCK[target.vendor]) return lastGeometry(config, launch);
  return rowsGeometry(config, target, launch);
}

/** One block with as many lanes for each token as it has; null where they are too few or shared memory is too small. */
export function aloneGeometry(config: ResolvedRouterConfig, target: KernelTarget, launch: Launch): PlanGeometry | null {
  const isNvidia = target.vendor === 'nvidia';
  const threadsPerBlock = isHeavy(config) ? FEW_THREADS : ALONE_THREADS;
  const lanes = 2 ** Math.floor(Math.log2(threadsPerBlock / Math.max(launch.tokens, 1)));
  const lanesPerToken = Math.max(Math.min(isNvidia ? 32 : 16, lanes), config.experts / mostPerLane(config));
  const geometry = fitLanes(
    config,
    {
      lanesPerToken,
      threadsPerBlock,
      loadBytes: isNvidia && lanesPerToken >= 32 ? wholeWaveLoadBytes(config, launch.loadBytes) : launch.loadBytes,
      searchesChunks: false,
      triggersEarly: isNvidia,
    },
    launch,
  );
  const tokens = threadsPerBlock / geometry.lanesPerToken;
  // The number of bits before each word, beside the words.
  const needed = 1.5 * batchBytes(config, tokens) + positionBytes(config) + groupBytes(config, geometry);
  return tokens >= launch.tokens && needed <= SHARED_BYTES ? { ...geometry, planShare: 'alone' } : null;
}

/** Blocks of a few tokens each, the last of which to arrive makes the plan. */
export function lastGeometry(config: ResolvedRouterConfig, launch: Launch): PlanGeometry {
  const geometry = fitLanes(
    config,
    {
      lanesPerToken: Math.max(16, config.experts / mostPerLane(config)),
      threadsPerBlock: isHeavy(config) ? FEW_THREADS : 256,
      loadBytes: launch.loadBytes,
      searchesChunks: false,
      triggersEarly: false,
    },
    launch,
  );
  return { ...withinRow(geometry), planShare: 'last' };
}

/** Blocks of more tokens than where there is no plan, so that there are fewer rows to add up. */
export function rowsGeometry(config: ResolvedRouterConfig, target: KernelTarget, launch: Launch): PlanGeometry {
  const usual = chooseGeometry(config, target, launch);
  const isFew = launch.tokens < 4096;
  const geometry = fitLanes(
    config,
    {
      ...usual,
      lanesPerToken: Math.max(isFew ? 8 : usual.lanesPerToken, config.experts / mostPerLane(config)),
      loadBytes: isFew ? launch.loadBytes : usual.loadBytes,
      searchesChunks: usual.searchesChunks && !isFew,
      triggersEarly: false,
    },
    launch,
  );
  const threadsPerBlock = isHeavy(config) ? FEW_THREADS : Math.max(256, usual.threadsPerBlock);
  return { ...withinRow({ ...geometry, threadsPerBlock }), planShare: 'rows' };
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

/** Whether a thread takes so many registers, or so much shared memory, that blocks have to be small. */
function isHeavy(config: ResolvedRouterConfig): boolean {
  return config.topK > 10 || config.experts > 512 || isGroupedInSharedMemory(config);
}
