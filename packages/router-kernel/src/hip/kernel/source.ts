/** The text of the GPU kernels: header-free parts under kernels/, concatenated in a fixed order. */

import { joinParts, sharedPart } from '@switchyard/gpu';
import type { KernelUnit } from '@switchyard/gpu';

/** A translation unit that a kernel lives in. */
export type KernelSourceName = 'topk_gating_softmax' | 'dispatch_plan';

const PARTS: Readonly<Record<KernelSourceName, readonly URL[]>> = {
  topk_gating_softmax: [
    sharedPart('platform'),
    sharedPart('wave'),
    sharedPart('lane_exchange'),
    sharedPart('number_formats'),
    sharedPart('sorted_lists'),
    ownPart('parts/keys'),
    ownPart('parts/rows'),
    ownPart('parts/scores'),
    ownPart('parts/expert_groups'),
    ownPart('parts/chunks'),
    ownPart('parts/by_value'),
    ownPart('parts/stores'),
    ownPart('parts/plan_batch'),
    ownPart('parts/plan_outputs'),
    ownPart('parts/plan_rows'),
    ownPart('parts/plan_in_router'),
    ownPart('topk_gating_softmax'),
  ],
  dispatch_plan: [
    sharedPart('platform'),
    sharedPart('wave'),
    ownPart('parts/plan_batch'),
    ownPart('parts/plan_outputs'),
    ownPart('parts/plan_rows'),
    ownPart('dispatch_plan'),
  ],
};

/** A part under this package's kernels/. */
export function ownPart(name: string): URL {
  return new URL(`../../../kernels/${name}.hip`, import.meta.url);
}

/** The whole text of a translation unit. */
export function kernelSource(name: KernelSourceName): string {
  return joinParts(PARTS[name]);
}

/** A translation unit with its macros, for a KernelLibrary. */
export function kernelUnit(form: {
  readonly source: KernelSourceName;
  readonly defines: KernelUnit['defines'];
}): KernelUnit {
  return { name: form.source, source: () => kernelSource(form.source), defines: form.defines };
}
