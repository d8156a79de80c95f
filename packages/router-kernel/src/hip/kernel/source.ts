/** The text of the GPU kernels: header-free parts under kernels/, concatenated in a fixed order. */

import { joinParts, sharedPart } from '@switchyard/gpu';
import type { KernelUnit } from '@switchyard/gpu';

/** A translation unit that a kernel lives in. */
export type KernelSourceName = 'topk_gating_softmax' | 'dispatch_plan' | 'gated_router' | 'gate_projection';

/** What routes a row. The last of them leaves the namespace open for the kernel that follows. */
const ROUTING_PARTS: readonly URL[] = [
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
  ownPart('parts/route_row'),
];

const PARTS: Readonly<Record<KernelSourceName, readonly URL[]>> = {
  topk_gating_softmax: [
    sharedPart('platform'),
    sharedPart('wave'),
    sharedPart('lane_exchange'),
    sharedPart('number_formats'),
    sharedPart('sorted_lists'),
    ...ROUTING_PARTS,
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
  gated_router: [
    sharedPart('platform'),
    sharedPart('wave'),
    sharedPart('lane_exchange'),
    sharedPart('number_formats'),
    sharedPart('streamed_loads'),
    sharedPart('device_words'),
    sharedPart('sorted_lists'),
    ownPart('parts/gate_sums'),
    ownPart('parts/last_block_routes'),
    ...ROUTING_PARTS,
    ownPart('gated_router'),
  ],
  gate_projection: [
    sharedPart('platform'),
    sharedPart('wave'),
    sharedPart('lane_exchange'),
    sharedPart('number_formats'),
    sharedPart('streamed_loads'),
    ownPart('parts/gate_sums'),
    ownPart('gate_projection'),
  ],
};

/** Whether a unit's name is that of a source. */
export function isKernelSource(name: string): name is KernelSourceName {
  return name in PARTS;
}

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
