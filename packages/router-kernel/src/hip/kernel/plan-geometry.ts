/** How a dispatch plan is made beside the routing of T tokens: in how many launches, and by blocks of what shape. */

import type { KernelTarget } from '@switchyard/gpu';
import type { ResolvedRouterConfig } from '../../contract.ts';
import type { LaunchGeometry } from './launch-geometry.ts';
import { chooseGeometry, fitLanes, lanesThatFitGroups, mostPerLane, wholeWaveLoadBytes } from './launch-geometry.ts';

/**
 * How much of the plan a routing launch makes; the place of each is its ROUTER_PLAN (parts/plan_in_router.hip). `'alone'`:
 * all, in its only block. `'last'`: all, in the block that arrives last. `'counts'`: each block's slots of every
 * expert, from which a second launch makes the plan.
 */
export const PLAN_SHARES = ['none', 'alone', 'last', 'counts'] as const;
export type PlanShare = (typeof PLAN_SHARES)[number];

/** The shape of a routing launch that makes a plan, or part of one. */
export interface PlanGeometry extends LaunchGeometry {
  readonly planShare: PlanShare;
  /** Tokens whose slots the block sorts at once; 0 where the launch sorts none. */
  readonly batchTokens: number;
}

/** Threads of a block that routes every token. */
const ALONE_THREADS = 512;
/** Threads of a block where each takes many registers. */
const FEW_THREADS = 128;
/** Threads of the blocks of the second launch. */
export const PLACE_THREADS = 512;
/** The most shared memory that a kernel may declare on every device. */
const SHARED_BYTES = 48 * 1024;
/** Counts of a block are bytes. */
const MOST_TOKENS_COUNTED = 128;
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
  return countsGeometry(config, target, launch);
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
  const batchTokens = threadsPerBlock / geometry.lanesPerToken;
  const needed = sharedBytes(config, batchTokens) + groupBytes(config, geometry);
  return batchTokens >= launch.tokens && needed <= SHARED_BYTES
    ? { ...geometry, planShare: 'alone', batchTokens }
    : null;
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
  return { ...geometry, planShare: 'last', batchTokens: batchTokensOf(config, groupBytes(config, geometry)) };
}

/** Blocks of more tokens than where nothing is counted, so that there are fewer counts to add up. */
export function countsGeometry(config: ResolvedRouterConfig, target: KernelTarget, launch: Launch): PlanGeometry {
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
  const threads = isHeavy(config) ? FEW_THREADS : Math.max(256, usual.threadsPerBlock);
  const threadsPerBlock = Math.min(threads, MOST_TOKENS_COUNTED * geometry.lanesPerToken);
  return { ...geometry, threadsPerBlock, planShare: 'counts', batchTokens: 0 };
}

/** Tokens whose slots the blocks of the second launch sort at once. */
export function placeBatchTokens(config: ResolvedRouterConfig): number {
  // Beside the batch, two sums for each expert.
  return batchTokensOf(config, 2 * 4 * (config.experts + 3));
}

function batchTokensOf(config: ResolvedRouterConfig, otherBytes: number): number {
  const fitting = [256, 128, 64, 32].find((tokens) => sharedBytes(config, tokens) + otherBytes <= SHARED_BYTES);
  if (fitting === undefined) throw new RangeError(`A plan of ${config.experts} experts does not fit a block.`);
  return fitting;
}

/** Bytes of `Batch` and `ExpertPositions`, or a few more. */
function sharedBytes({ experts, topK, expertTiles }: ResolvedRouterConfig, batchTokens: number): number {
  const rowWords = Math.ceil(batchTokens / 32) | 1;
  const batch = experts * rowWords * (4 + 2) + batchTokens * topK * (2 + 2);
  const positions = (expertTiles === null ? 2 : 3) * 4 * (experts + 1);
  return batch + positions + 256;
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
