/**
 * The kernels that the benchmark compares with: our own, after the published algorithms of other routers, and an empty
 * one. They route contiguous rows with softmax and renormalisation into f32 weights and i32 ids.
 */

import { joinParts, sharedPart } from '@switchyard/gpu';
import type { KernelArgument, KernelTarget } from '@switchyard/gpu';
import type { LogitsDtype } from '../../contract.ts';
import { ownPart } from '../../hip/kernel/source.ts';
import { nextPowerOfTwo } from '../../hip/kernel/launch-geometry.ts';

export const BASELINES = ['empty', 'vllm', 'flydsl_first', 'flydsl_newest'] as const;
export type Baseline = (typeof BASELINES)[number];

/** The arguments of every baseline. */
export const BASELINE_ARGUMENTS = [
  { name: 'logits', type: 'pointer', doc: '[T, E], contiguous and 16-byte aligned.' },
  { name: 'weights', type: 'pointer', doc: 'f32 [T, K], written.' },
  { name: 'ids', type: 'pointer', doc: 'i32 [T, K], written.' },
  { name: 'tokens', type: 'u32', doc: 'T.' },
  { name: 'topK', type: 'u32', doc: 'K.' },
] as const satisfies readonly KernelArgument[];

/** A baseline compiled for a shape. */
export interface BaselineKernel {
  readonly symbol: string;
  readonly defines: Readonly<Record<string, string | number>>;
  /** The whole text; it includes nothing. */
  readonly source: string;
  readonly tokensPerBlock: number;
  readonly threadsPerBlock: number;
}

/** A baseline for a shape; null where the published kernel does not take it. */
export function baselineKernel(
  baseline: Baseline,
  shape: { readonly experts: number; readonly topK: number; readonly logitsDtype: LogitsDtype },
  target: KernelTarget,
): BaselineKernel | null {
  const { experts, topK, logitsDtype } = shape;
  const isPowerOfTwo = nextPowerOfTwo(experts) === experts;
  if (baseline.startsWith('flydsl') && !isPowerOfTwo) return null;
  if (baseline === 'vllm' && !isPowerOfTwo && experts % (2 * target.waveSize) !== 0) return null;
  const threadsPerBlock = baseline === 'vllm' ? 4 * target.waveSize : 256;
  const symbol = `${baseline}_e${experts}_k${topK}_${logitsDtype}`;
  const parts = baseline === 'empty' ? ['baselines/empty'] : ['baselines/loads', `baselines/${baseline}`];
  return {
    symbol,
    defines: {
      ROUTER_WAVE_SIZE: target.waveSize,
      BASELINE_SYMBOL: symbol,
      BASELINE_EXPERTS: experts,
      BASELINE_TOP_K: topK,
      BASELINE_DTYPE: { bf16: 0, f16: 1, f32: 2 }[logitsDtype],
      BASELINE_THREADS: threadsPerBlock,
    },
    source: joinParts([sharedPart('platform'), ...parts.map(ownPart)]),
    tokensPerBlock: threadsPerBlock / lanesOf(baseline, shape, target),
    threadsPerBlock,
  };
}

/** Lanes that share a token, as each published kernel has it. */
function lanesOf(
  baseline: Baseline,
  { experts, logitsDtype }: { readonly experts: number; readonly logitsDtype: LogitsDtype },
  { waveSize }: KernelTarget,
): number {
  if (baseline === 'vllm') {
    const perLoad = logitsDtype === 'f32' ? 4 : 8;
    return nextPowerOfTwo(experts) === experts ? Math.min(waveSize, Math.max(1, experts / perLoad)) : waveSize;
  }
  const perLane = baseline === 'flydsl_first' ? 16 : 8;
  return Math.min(waveSize, Math.max(1, experts / perLane));
}
