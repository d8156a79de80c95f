/** The text of the GPU kernels: header-free parts under kernels/, concatenated in a fixed order. */

import { readFileSync } from 'node:fs';
import type { KernelUnit } from '@switchyard/gpu';

/** A translation unit that a kernel lives in. */
export type KernelSourceName = 'topk_gating_softmax' | 'dispatch_plan';

const PARTS: Readonly<Record<KernelSourceName, readonly string[]>> = {
  topk_gating_softmax: [
    'parts/platform.hip',
    'parts/lane_exchange.hip',
    'parts/keys.hip',
    'parts/sorted_lists.hip',
    'parts/rows.hip',
    'parts/scores.hip',
    'parts/expert_groups.hip',
    'parts/chunks.hip',
    'parts/by_value.hip',
    'parts/stores.hip',
    'topk_gating_softmax.hip',
  ],
  dispatch_plan: ['parts/platform.hip', 'dispatch_plan.hip'],
};

/** The files that make up a translation unit, in order. */
export function kernelSourceFiles(name: KernelSourceName): readonly URL[] {
  return PARTS[name].map((part) => new URL(`../../../kernels/${part}`, import.meta.url));
}

/** The whole text of a translation unit; it includes nothing and is specialised by macros. */
export function kernelSource(name: KernelSourceName): string {
  return kernelSourceFiles(name)
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n');
}

/** A translation unit with its macros, for a KernelLibrary. */
export function kernelUnit(form: {
  readonly source: KernelSourceName;
  readonly defines: KernelUnit['defines'];
}): KernelUnit {
  return { name: form.source, source: () => kernelSource(form.source), defines: form.defines };
}
