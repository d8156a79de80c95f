/**
 * Every kernel that calls of a configuration launch, as data: what a router loads ahead of time, and what is shipped
 * compiled, are made from the same lists.
 */

import type { KernelTarget } from '@switchyard/gpu';
import type { ResolvedRouterConfig } from '../../contract.ts';
import { placePlan } from './dispatch-plan-launches.ts';
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

/** The forms that a call launches, in their order. */
function formsOf(config: ResolvedRouterConfig, target: KernelTarget, call: LaunchHint): readonly KernelForm[] {
  const form = specialize(config, target, call);
  const { source, defines, symbol, lanesPerToken, tokensPerBlock, threadsPerBlock, loadBytes } = form;
  const routing = { source, defines, symbol, geometry: { lanesPerToken, tokensPerBlock, threadsPerBlock, loadBytes } };
  if (form.planShare !== 'rows') return [routing];
  const { threadsPerBlock: placementThreads, ...placement } = placePlan(config, target, form);
  return [routing, { ...placement, geometry: { threadsPerBlock: placementThreads } }];
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
  const forms = PREPARED_CALLS.flatMap((call) => formsOf(config, target, call));
  return [...new Map(forms.map((form) => [form.symbol, form])).values()];
}
