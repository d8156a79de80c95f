/** The baseline after FlashInfer's fused routing: top-k, histogram and placement in as few launches as T allows. */

import { joinParts, loadLaunch, sharedPart } from '@switchyard/gpu';
import type { GpuDriver, KernelArgument, KernelLaunch, KernelLibrary, KernelResources } from '@switchyard/gpu';
import { ARRIVALS_BYTES } from '../../hip/kernel/dispatch-plan-launches.ts';
import { ownPart } from '../../hip/kernel/source.ts';
import type { BenchmarkShape } from '../logits.ts';
import type { Contender } from './contender.ts';

const FLASHINFER_ARGUMENTS = [
  { name: 'logits', type: 'pointer', doc: '[T, E], contiguous.' },
  { name: 'weights', type: 'pointer', doc: 'f32 [T, K], written.' },
  { name: 'ids', type: 'pointer', doc: 'i32 [T, K], written.' },
  { name: 'expertOffsets', type: 'pointer', doc: 'i32 [E + 1], written.' },
  { name: 'sortedSlots', type: 'pointer', doc: 'i32 [T * K], written.' },
  { name: 'workspace', type: 'pointer', doc: 'u32 [4 + E]; the first four are 0 before and after.' },
  { name: 'tokens', type: 'u32', doc: 'T.' },
] as const satisfies readonly KernelArgument[];
type FlashInferLaunch = KernelLaunch<(typeof FLASHINFER_ARGUMENTS)[number]['name']>;

/** The kernels, by the BASELINE_WAY of each (kernels/baselines/flashinfer.hip). */
const WAYS = ['block', 'cluster', 'scores', 'grid'] as const;
type Way = (typeof WAYS)[number];

/** The most tokens of one block, of one with more threads, and of a cluster. */
const MOST_TOKENS = { few: 4, block: 16, cluster: 256 } as const;
const CLUSTER = { blocks: 8, threads: 1024 } as const;
const SCORE_THREADS = 256;
const GRID = { threads: 1024, mostBlocks: 128, mostSlotsOfThread: 16 } as const;
const WAVE = 32;

/** The contender for a shape; null on other GPUs than NVIDIA's with clusters, and where a block has no thread an expert. */
export async function flashInferContender(
  { experts, topK, dtype }: BenchmarkShape,
  driver: GpuDriver,
  library: KernelLibrary,
): Promise<Contender | null> {
  const { vendor, architecture } = library.target;
  if (vendor !== 'nvidia' || Number(architecture.replace('sm_', '')) < 90 || experts > SCORE_THREADS) return null;
  const load = async (way: Way, threads: number): Promise<readonly [FlashInferLaunch, KernelResources]> => {
    const symbol = `flashinfer_${way}_e${experts}_k${topK}_${dtype}_threads${threads}`;
    const unit = {
      name: 'flashinfer',
      source: () => joinParts([sharedPart('platform'), sharedPart('wave'), ownPart('baselines/flashinfer')]),
      defines: {
        ROUTER_WAVE_SIZE: WAVE,
        BASELINE_SYMBOL: symbol,
        BASELINE_EXPERTS: experts,
        BASELINE_TOP_K: topK,
        BASELINE_DTYPE: { bf16: 0, f16: 1, f32: 2 }[dtype],
        BASELINE_THREADS: threads,
        BASELINE_WAY: WAYS.indexOf(way),
      },
    };
    const launch = await loadLaunch(driver, library, {
      unit,
      symbol,
      threadsPerBlock: threads,
      arguments: FLASHINFER_ARGUMENTS,
      overlapsKernelBefore: true,
    });
    return [launch, (await library.load(unit, symbol)).resources()];
  };
  const threadsOfExperts = Math.ceil(experts / WAVE) * WAVE;
  const blockOf = (tokens: number): number => Math.max(threadsOfExperts, tokens * WAVE);
  const [few, fewResources] = await load('block', blockOf(MOST_TOKENS.few));
  const [block, blockResources] = await load('block', blockOf(MOST_TOKENS.block));
  const [cluster, clusterResources] = await load('cluster', CLUSTER.threads);
  const [scores, scoreResources] = await load('scores', SCORE_THREADS);
  const [grid] = await load('grid', GRID.threads);
  return {
    name: 'flashinfer',
    keepsPlanOrder: false,
    planWorkspaceBytes: () => ARRIVALS_BYTES + experts * 4,
    prepare: async (tokens) => {
      if (tokens <= MOST_TOKENS.few) return fewResources;
      if (tokens <= MOST_TOKENS.block) return blockResources;
      return tokens <= MOST_TOKENS.cluster ? clusterResources : scoreResources;
    },
    enqueue: (stream, tokens, { plan, logits, weights, ids }) => {
      if (plan === undefined) throw new RangeError('A plan needs buffers.');
      const values = { logits, weights, ids, ...plan, tokens };
      if (tokens <= MOST_TOKENS.block) return (tokens <= MOST_TOKENS.few ? few : block).launch(stream, 1, values);
      if (tokens <= MOST_TOKENS.cluster) return cluster.launch(stream, CLUSTER.blocks, values);
      scores.launch(stream, Math.ceil((tokens * WAVE) / SCORE_THREADS), values);
      const wanted = Math.ceil((tokens * topK) / GRID.threads);
      const blocks = Math.min(wanted, GRID.mostBlocks);
      if (wanted > blocks * GRID.mostSlotsOfThread) throw new RangeError(`${tokens} tokens are too many.`);
      grid.launch(stream, blocks, values);
    },
  };
}
