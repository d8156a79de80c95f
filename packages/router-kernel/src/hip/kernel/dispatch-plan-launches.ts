/**
 * The launches that make the dispatch plan from the ids on the device. All of them take DISPATCH_PLAN_KERNEL_ARGUMENTS,
 * run one after the other on one stream, allocate nothing and synchronise with nothing, so that a graph can hold them.
 * Slots come out in ascending order within an expert, whatever the timing.
 */

import type { KernelTarget } from '@switchyard/gpu';
import type { ResolvedRouterConfig } from '../../contract.ts';
import { idBytes } from '../../derived-config.ts';
import type { KernelSourceName } from './source.ts';

/** One launch. */
export interface DispatchPlanLaunch {
  readonly symbol: string;
  /** Blocks, one dimension. */
  readonly blocks: number;
  readonly threadsPerBlock: number;
}

/** What it takes to make the plan for T tokens. */
export interface DispatchPlanLaunches {
  /** The translation unit; all launches are in the one module compiled with `defines`. */
  readonly source: KernelSourceName;
  readonly defines: Readonly<Record<string, string | number>>;
  /** In order. */
  readonly launches: readonly DispatchPlanLaunch[];
  /** Bytes of scratch memory; 0 for small T. */
  readonly workspaceBytes: number;
  /** The values of the kernel arguments of the same names. */
  readonly slots: number;
  readonly slotsPerBlock: number;
  readonly blocks: number;
}

const THREADS = 256;
/** Up to this many slots one block does everything in one launch. */
const SINGLE_LAUNCH_SLOTS = 8192;
const SLOTS_PER_BLOCK = 4096;
const MOST_BLOCKS = 1024;

/** Plans the launches for T tokens. `tokens * topK` must be below 2^31. */
export function planDispatchLaunches(
  config: ResolvedRouterConfig,
  target: KernelTarget,
  tokens: number,
): DispatchPlanLaunches {
  const slots = tokens * config.topK;
  const suffix = `e${config.experts}_${config.idsDtype === 'i64' ? 'i64' : 'i32'}`;
  const base = {
    source: 'dispatch_plan' as const,
    defines: {
      ROUTER_PLAN_SUFFIX: suffix,
      ROUTER_EXPERTS: config.experts,
      ROUTER_WAVE_SIZE: target.waveSize,
      ROUTER_IDS_BYTES: idBytes(config.idsDtype),
    },
    slots,
  };
  if (slots <= SINGLE_LAUNCH_SLOTS) {
    const launches = [{ symbol: `dispatch_plan_single_${suffix}`, blocks: 1, threadsPerBlock: THREADS }];
    return { ...base, launches, workspaceBytes: 0, slotsPerBlock: Math.max(slots, 1), blocks: 1 };
  }
  const slotsPerBlock = Math.ceil(Math.max(SLOTS_PER_BLOCK, slots / MOST_BLOCKS) / THREADS) * THREADS;
  const blocks = Math.ceil(slots / slotsPerBlock);
  return {
    ...base,
    launches: [
      { symbol: `dispatch_plan_count_${suffix}`, blocks, threadsPerBlock: THREADS },
      { symbol: `dispatch_plan_scan_${suffix}`, blocks: 1, threadsPerBlock: THREADS },
      { symbol: `dispatch_plan_scatter_${suffix}`, blocks, threadsPerBlock: THREADS },
    ],
    workspaceBytes: blocks * config.experts * 4,
    slotsPerBlock,
    blocks,
  };
}
