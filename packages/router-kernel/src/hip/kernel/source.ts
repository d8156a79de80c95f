/** The text of the GPU kernels: header-free parts under kernels/, concatenated in a fixed order. */

import { joinParts, sharedPart } from '@switchyard/gpu';
import type { KernelUnit } from '@switchyard/gpu';

/** A translation unit that a kernel lives in. */
export type KernelSourceName = 'topk_gating_softmax' | 'dispatch_plan' | 'gated_router' | 'gate_projection';

/** What ranks the experts of a row and stores the best. */
const RANKING_PARTS: readonly URL[] = [
  ownPart('parts/keys'),
  ownPart('parts/rows'),
  ownPart('parts/scores'),
  ownPart('parts/expert_groups'),
  ownPart('parts/chunks'),
  ownPart('parts/by_value'),
  ownPart('parts/stores'),
];

const PARTS: Readonly<Record<KernelSourceName, readonly URL[]>> = {
  topk_gating_softmax: [
    sharedPart('platform'),
    sharedPart('wave'),
    sharedPart('lane_exchange'),
    sharedPart('number_formats'),
    sharedPart('sorted_lists'),
    ...RANKING_PARTS,
    ownPart('parts/plan_batch'),
    ownPart('parts/plan_outputs'),
    ownPart('parts/plan_rows'),
    ownPart('parts/plan_in_router'),
    // Leaves the namespace open for the kernel that follows.
    ownPart('parts/route_row'),
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
    sharedPart('overlap'),
    sharedPart('wave'),
    sharedPart('lane_exchange'),
    sharedPart('number_formats'),
    sharedPart('streamed_loads'),
    sharedPart('loads_ahead'),
    sharedPart('device_words'),
    sharedPart('sorted_lists'),
    sharedPart('sums_by_lane'),
    ownPart('parts/gate_sums'),
    ownPart('parts/hand_over_sums'),
    ...RANKING_PARTS,
    ownPart('parts/receive_row'),
    ownPart('parts/plan_of_few'),
    ownPart('parts/route_row'),
    ownPart('gated_router'),
  ],
  gate_projection: [
    sharedPart('platform'),
    sharedPart('wave'),
    sharedPart('lane_exchange'),
    sharedPart('number_formats'),
    sharedPart('streamed_loads'),
    sharedPart('loads_ahead'),
    sharedPart('sums_by_lane'),
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

/** Read once: a router asks for the text of each of its forms. */
const texts = new Map<KernelSourceName, string>();

/** The whole text of a translation unit. */
export function kernelSource(name: KernelSourceName): string {
  const text = texts.get(name) ?? joinParts(PARTS[name]);
  texts.set(name, text);
  return text;
}

/** A translation unit with its macros, for a KernelLibrary. */
export function kernelUnit(form: {
  readonly source: KernelSourceName;
  readonly defines: KernelUnit['defines'];
}): KernelUnit {
  return { name: form.source, source: () => kernelSource(form.source), defines: form.defines };
}
