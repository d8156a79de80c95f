/** The baseline of the dispatch plan: the router alone, then the plan in launches of its own, which do not overlap. */

import { joinParts, loadLaunch, sharedPart } from '@switchyard/gpu';
import type { GpuDriver, KernelArgument, KernelLaunch, KernelLibrary } from '@switchyard/gpu';
import { ARRIVALS_BYTES } from '../../hip/kernel/dispatch-plan-launches.ts';
import { ownPart } from '../../hip/kernel/source.ts';
import type { BenchmarkShape } from '../logits.ts';
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

/** A router that makes no plan, then the plan apart. */
export async function planApartContender(
  router: Contender,
  { experts, topK }: BenchmarkShape,
  driver: GpuDriver,
  library: KernelLibrary,
): Promise<Contender> {
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
  const load = (step: string): Promise<KernelLaunch<(typeof PLAN_APART_ARGUMENTS)[number]['name']>> => {
    const symbol = `plan_apart_${step}_${suffix}`;
    return loadLaunch(driver, library, { unit, symbol, threadsPerBlock: THREADS, arguments: PLAN_APART_ARGUMENTS });
  };
  const single = await load('single');
  const count = await load('count');
  const scan = await load('scan');
  const scatter = await load('scatter');
  return {
    name: 'plan_apart',
    planWorkspaceBytes: (tokens) => ARRIVALS_BYTES + blocksOf(tokens * topK).blocks * experts * 4,
    prepare: (tokens) => router.prepare(tokens),
    enqueue: (stream, tokens, { plan, ...buffers }) => {
      if (plan === undefined) throw new RangeError('A plan needs buffers.');
      router.enqueue(stream, tokens, buffers);
      const slots = tokens * topK;
      const { slotsPerBlock, blocks } = blocksOf(slots);
      // Its counts lie behind what other contenders find 0.
      const workspace = plan.workspace + BigInt(ARRIVALS_BYTES);
      const values = { ids: buffers.ids, ...plan, workspace, slots, slotsPerBlock, blocks };
      if (blocks === 1) {
        single.launch(stream, 1, values);
        return;
      }
      count.launch(stream, blocks, values);
      scan.launch(stream, 1, values);
      scatter.launch(stream, blocks, values);
    },
  };
}
