/** What the benchmark times, by name, and what each has to do. */

import type { DevicePointer, GpuStream, KernelResources } from '@switchyard/gpu';
import { BASELINES } from './baselines.ts';

/** Where a launch reads and writes. */
export interface ContenderBuffers {
  readonly logits: DevicePointer;
  readonly weights: DevicePointer;
  readonly ids: DevicePointer;
  /** Where the dispatch plan goes, for contenders that make one. */
  readonly plan?: {
    readonly expertOffsets: DevicePointer;
    readonly sortedSlots: DevicePointer;
    readonly workspace: DevicePointer;
  };
}

/**
 * `'switchyard_ordinary'` is this package's kernel without launches that overlap the kernel before; `'switchyard_plan'`
 * makes the dispatch plan too, `'plan_apart'` makes it after routing, in launches of its own, and `'flashinfer'` makes it
 * after FlashInfer's algorithm.
 */
export type ContenderName = (typeof CONTENDERS)[number];
export const CONTENDERS = [
  'switchyard',
  'switchyard_ordinary',
  'switchyard_plan',
  'plan_apart',
  'flashinfer',
  ...BASELINES,
] as const;

/** A kernel that can be launched on a shape. */
export interface Contender {
  readonly name: ContenderName;
  /** Scratch memory that the dispatch plan of T tokens takes; only contenders that make a plan have it. */
  planWorkspaceBytes?(tokens: number): number;
  /** Whether the slots of an expert are in ascending order in its plan. Defaults to `true`. */
  readonly keepsPlanOrder?: boolean;
  /** Loads what T tokens need. */
  prepare(tokens: number): Promise<KernelResources>;
  enqueue(stream: GpuStream, tokens: number, buffers: ContenderBuffers): void;
}
