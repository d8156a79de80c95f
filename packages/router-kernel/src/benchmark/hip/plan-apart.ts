/** The baseline of the dispatch plan: the router alone, then the plan in launches of its own, which do not overlap. */

import { joinParts, loadLaunch, sharedPart } from '@switchyard/gpu';
import type { GpuDriver, KernelArgument, KernelLaunch, KernelLibrary } from '@switchyard/gpu';
import { DeviceRoute } from '../../hip/device-route.ts';
import { ARRIVALS_BYTES } from '../../hip/kernel/dispatch-plan-launches.ts';
import { kernelUnit, ownPart } from '../../hip/kernel/source.ts';
import type { BenchmarkShape } from '../logits.ts';
import { configOf } from '../routing-check.ts';
import type { Contender } from './contender.ts';

const PLAN_APART_ARGUMENTS = [
  { name: 'ids', type: 'pointer', doc: 'i32 [T, K].' },
  { name: 'expertOffsets', type: 'pointer', doc: 'i32 [E + 1], written.' },
  { name: 'sortedSlots', type: 'pointer', doc: 'i32 [T * K], written.' },
  { name: 'workspace', type: 'pointer', doc: 'u32 [blocks, E].' },
  { name: 'slots', type: 'u32', doc: 'T * K.' },
  { name: 'slotsPerBlock', type: 'u32', doc: 'Slots of a block.' },
  { name: 'blocks', type: 'u32', doc: 'Blocks that count.' },
] as const satisfies readonly KernelArgument[];

const STEPS = ['single', 'count', 'scan', 'scatter'] as const;
const THREADS = 256;
/** Up to this many slots one block does everything in one launch. */
const SINGLE_LAUNCH_SLOTS = 8192;
const SLOTS_PER_BLOCK = 4096;
const MOST_BLOCKS = 1024;

/** How many slots each block takes, and how many blocks there are. */
function blocksOf(slots: number): { readonly slotsPerBlock: number; readonly blocks: number } {
  if (slots <= SINGLE_LAUNCH_SLOTS) return { slotsPerBlock: Math.max(slots, 1), blocks: 1 };
  const slotsPerBlock = Math.ceil(Math.max(SLOTS_PER_BLOCK, slots / MOST_BLOCKS) / THREADS) * THREADS;
  return { slotsPerBlock, blocks: Math.ceil(slots / slotsPerBlock) };
}

/** The router, then the plan apart. */
export async function planApartContender(
  shape: BenchmarkShape,
  driver: GpuDriver,
  library: KernelLibrary,
): Promise<Contender> {
  const { experts, topK } = shape;
  const suffix = `e${experts}_i32`;
  const unit = {
    name: 'plan_apart',
    source: () => joinParts([sharedPart('platform'), sharedPart('wave'), ownPart('baselines/plan_apart')]),
    defines: {
      ROUTER_PLAN_SUFFIX: suffix,
      ROUTER_EXPERTS: experts,
      ROUTER_WAVE_SIZE: library.target.waveSize,
      ROUTER_IDS_BYTES: 4,
    },
  };
  const launches = new Map<string, KernelLaunch<(typeof PLAN_APART_ARGUMENTS)[number]['name']>>();
  for (const step of STEPS) {
    const symbol = `plan_apart_${step}_${suffix}`;
    const description = { unit, symbol, threadsPerBlock: THREADS, arguments: PLAN_APART_ARGUMENTS };
    launches.set(step, await loadLaunch(driver, library, description));
  }
  const route = await DeviceRoute.create(driver, library, configOf(shape), 0n);
  return {
    name: 'plan_apart',
    planWorkspaceBytes: (tokens) => ARRIVALS_BYTES + blocksOf(tokens * topK).blocks * experts * 4,
    prepare: async (tokens) => {
      await route.prepare({ tokens });
      const form = route.describe({ tokens });
      return (await library.load(kernelUnit(form), form.symbol)).resources();
    },
    enqueue: (stream, tokens, { plan, ...buffers }) => {
      if (plan === undefined) throw new RangeError('A plan needs buffers.');
      route.enqueue(stream, { tokens, ...buffers });
      const slots = tokens * topK;
      const { slotsPerBlock, blocks } = blocksOf(slots);
      // Its counts lie behind what other contenders find 0.
      const workspace = plan.workspace + BigInt(ARRIVALS_BYTES);
      const values = { ids: buffers.ids, ...plan, workspace, slots, slotsPerBlock, blocks };
      if (blocks === 1) {
        launches.get('single')?.launch(stream, 1, values);
        return;
      }
      launches.get('count')?.launch(stream, blocks, values);
      launches.get('scan')?.launch(stream, 1, values);
      launches.get('scatter')?.launch(stream, blocks, values);
    },
  };
}
