/**
 * The second launch of a dispatch plan, where the routing launch leaves rows behind (plan-geometry.ts). It runs after it on the
 * same stream, allocates nothing and synchronises with nothing, so that a graph can hold it. Slots come out in
 * ascending order within an expert, whatever the timing.
 */

import type { KernelTarget } from '@switchyard/gpu';
import type { ResolvedRouterConfig } from '../../contract.ts';
import { idBytes } from '../../derived-config.ts';
import { planRangeEnds, ROW_GROUP } from './plan-geometry.ts';
import type { KernelSourceName } from './source.ts';
import { gridSize, specialize } from './specialization.ts';
import type { KernelSpecialization } from './specialization.ts';

/** One compiled form of the kernel that places slots. */
export interface PlanPlacement {
  readonly source: KernelSourceName;
  readonly symbol: string;
  /** Pass each as -Dname=value. */
  readonly defines: Readonly<Record<string, string | number>>;
  readonly threadsPerBlock: number;
}

/** A launch of it: the values of the kernel arguments of the same names. */
export interface PlanPlacementLaunch {
  readonly rows: number;
  readonly rowsPerBlock: number;
  readonly blocks: number;
}

/** How the second launch goes about it. */
interface PlacementShape {
  readonly threadsPerBlock: number;
  /** Rows of the workspace whose slots a block places at once. */
  readonly rowGroup: number;
  /** Whether the kernel after it may begin once every block runs. */
  readonly triggersEarly: boolean;
}

/** For NVIDIA as measured on an H200. Beside blocks of many slots, the kernel after would only be in the way. */
function placementShape(
  { experts }: ResolvedRouterConfig,
  { vendor }: KernelTarget,
  tokensPerBlock: number,
): PlacementShape {
  if (vendor !== 'nvidia') return { threadsPerBlock: 512, rowGroup: ROW_GROUP, triggersEarly: false };
  const isLarge = tokensPerBlock >= 128 || (tokensPerBlock >= 64 && experts > 128);
  const isSmall = tokensPerBlock <= 8 && experts <= 256;
  return { threadsPerBlock: isLarge ? 1024 : isSmall ? 256 : 512, rowGroup: 1, triggersEarly: tokensPerBlock < 128 };
}

/** The kernel form that places the slots which a form of the routing kernel leaves. */
export function placePlan(
  config: ResolvedRouterConfig,
  target: KernelTarget,
  { tokensPerBlock }: Pick<KernelSpecialization, 'tokensPerBlock'>,
): PlanPlacement {
  const { threadsPerBlock, rowGroup, triggersEarly } = placementShape(config, target, tokensPerBlock);
  const symbol = [
    'dispatch_plan',
    `e${config.experts}`,
    `k${config.topK}`,
    config.idsDtype === 'i64' ? 'i64' : 'i32',
    `rows${tokensPerBlock}`,
    ...(config.expertTiles === null ? [] : ['tiles']),
    ...(triggersEarly ? ['trigger'] : []),
    `threads${threadsPerBlock}`,
  ].join('_');
  return {
    source: 'dispatch_plan',
    symbol,
    defines: {
      ROUTER_SYMBOL: symbol,
      ROUTER_WAVE_SIZE: target.waveSize,
      ROUTER_EXPERTS: config.experts,
      ROUTER_TOP_K: config.topK,
      ROUTER_IDS_BYTES: idBytes(config.idsDtype),
      ROUTER_PLAN: 3,
      ROUTER_BLOCK_TOKENS: tokensPerBlock,
      ROUTER_ROW_GROUP: rowGroup,
      ROUTER_EXPERT_TILES: Number(config.expertTiles !== null),
      ROUTER_EARLY_TRIGGER: Number(triggersEarly),
      ROUTER_THREADS: threadsPerBlock,
    },
    threadsPerBlock,
  };
}

/** A block takes one row, or as many as keep the blocks to this number: every block adds up all rows. */
const MOST_BLOCKS = 128;

/** The launch that follows a routing launch of T tokens. */
export function placementLaunch(
  { tokensPerBlock }: KernelSpecialization,
  tokens: number,
  mostBlocks = MOST_BLOCKS,
): PlanPlacementLaunch {
  const rows = Math.ceil(tokens / tokensPerBlock);
  const rowsPerBlock = Math.ceil(rows / mostBlocks);
  return { rows, rowsPerBlock, blocks: Math.ceil(rows / rowsPerBlock) };
}

/** Bytes at the start of the scratch memory that count arrived blocks: 0 before the first call, and left 0 by every call. */
export const ARRIVALS_BYTES = 16;

/** Bytes of scratch memory that a routing launch of T tokens takes for its plan: arrivals, counts and ranks. */
export function planWorkspaceBytes(config: ResolvedRouterConfig, form: KernelSpecialization, tokens: number): number {
  if (form.planShare === 'none' || form.planShare === 'alone') return 0;
  const rows = gridSize(form, tokens);
  return ARRIVALS_BYTES + rows * Math.ceil(config.experts / 4) * 4 + tokens * config.topK;
}

/** What the address and the stride of rows may be multiples of, in bytes. */
const ALIGNMENTS = [1, 2, 4, 8, 16] as const;

/**
 * Bytes of scratch memory that routing launches of T tokens or fewer take for their plans, however their rows are aligned.
 * Fewer tokens can take more, where blocks take fewer each.
 */
export function mostPlanWorkspaceBytes(config: ResolvedRouterConfig, target: KernelTarget, tokens: number): number {
  if (!config.dispatchPlan) return 0;
  // Within a range, more tokens take more.
  const bytes = planRangeEnds(config, target, tokens).flatMap((last) =>
    ALIGNMENTS.map((alignment) =>
      planWorkspaceBytes(config, specialize(config, target, { tokens: last, alignment }), last),
    ),
  );
  return Math.max(...bytes);
}
