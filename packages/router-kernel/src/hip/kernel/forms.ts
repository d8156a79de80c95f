/**
 * Every kernel that calls of a configuration launch, as data: what a router loads ahead of time, and what is shipped
 * compiled, are made from the same lists.
 */

import type { KernelTarget } from '@switchyard/gpu';
import type { ResolvedRouterConfig } from '../../contract.ts';
import { planDispatchLaunches } from './dispatch-plan-launches.ts';
import type { KernelSourceName } from './source.ts';
import { specialize } from './specialization.ts';
import type { LaunchHint } from './specialization.ts';

/** A kernel, and the translation unit with the macros that it is compiled with; others may be in the same unit. */
export interface KernelForm {
  readonly symbol: string;
  readonly source: KernelSourceName;
  readonly defines: Readonly<Record<string, string | number>>;
  readonly geometry: FormGeometry;
}

/** What a launch of a form goes by; all but the threads are of routing kernels. See `KernelSpecialization`. */
export interface FormGeometry {
  readonly threadsPerBlock: number;
  readonly lanesPerToken?: number;
  readonly tokensPerBlock?: number;
  readonly loadBytes?: number;
}

/** The forms of one kind of launch that serve calls of a shape. */
type FormsOfKind = (config: ResolvedRouterConfig, target: KernelTarget, call: LaunchHint) => readonly KernelForm[];

/** The kinds of launch. A kind that is added here is shipped compiled as well. */
const KINDS: readonly FormsOfKind[] = [routerForms, planForms];

function routerForms(config: ResolvedRouterConfig, target: KernelTarget, call: LaunchHint): readonly KernelForm[] {
  const form = specialize(config, target, call);
  const { source, defines, symbol, lanesPerToken, tokensPerBlock, threadsPerBlock, loadBytes } = form;
  const geometry = { lanesPerToken, tokensPerBlock, threadsPerBlock, loadBytes };
  return [{ source, defines, symbol, geometry }];
}

function planForms(config: ResolvedRouterConfig, target: KernelTarget, { tokens }: LaunchHint): readonly KernelForm[] {
  if (!config.dispatchPlan) return [];
  const { source, defines, launches } = planDispatchLaunches(config, target, tokens);
  return launches.map(({ symbol, threadsPerBlock }) => ({
    source,
    defines,
    symbol,
    geometry: { threadsPerBlock },
  }));
}

/** The largest T whose forms are loaded ahead of time is 2 to this power; larger T have the same. */
const LARGEST_PREPARED_POWER = 20;

/** Calls of contiguous rows, of every T for which kernels differ, with and without padding. */
export const PREPARED_CALLS: readonly LaunchHint[] = Array.from({ length: LARGEST_PREPARED_POWER + 1 }, (_, power) => [
  { tokens: 2 ** power },
  { tokens: 2 ** power, padding: true },
]).flat();

/** The kernels that PREPARED_CALLS of a configuration launch, each symbol once. */
export function preparedForms(config: ResolvedRouterConfig, target: KernelTarget): readonly KernelForm[] {
  const forms = PREPARED_CALLS.flatMap((call) => KINDS.flatMap((kind) => kind(config, target, call)));
  return [...new Map(forms.map((form) => [form.symbol, form])).values()];
}
