/**
 * A router before the experts of steps of few rows, in the place of the routing that their kernels do by themselves: for
 * measuring routers inside a step.
 */

import { uploadBytes } from '@switchyard/gpu';
import type { DeviceBuffer, DevicePointer, GpuDriver, GpuStream, KernelLibrary, StreamLike } from '@switchyard/gpu';
import type { RoutingBefore } from './forward-pass.ts';
import type { KernelContext } from './kernel-form.ts';
import { loadRoutedSlotExperts } from './kernels.ts';
import { MOST_ROWS_BY_SLOT } from './sizes.ts';

/** A router to measure inside a step. */
export interface RoutingChoice {
  /** Enqueues it, for router logits f32 [rows, experts] of a layer. Nothing, where `ids` were chosen long before. */
  enqueue(stream: StreamLike, rows: number, at: RoutingAddresses): void;
  /** i32 [layers, MOST_ROWS_BY_SLOT, K], for a choice made before. Defaults to expert 0 for all. */
  readonly ids?: Int32Array;
}

/** Where a router reads and writes. */
export interface RoutingAddresses {
  readonly logits: DevicePointer;
  /** i32 [rows, K]. */
  readonly ids: DevicePointer;
  /** f32 [rows, K]. */
  readonly weights: DevicePointer;
}

/** Loads what passes need for it. @param own keeps a buffer for as long as the runner lives */
export async function loadRoutingBefore(
  routing: RoutingChoice,
  parts: {
    readonly driver: GpuDriver;
    readonly stream: GpuStream;
    readonly library: KernelLibrary;
    readonly context: KernelContext;
  },
  own: (buffer: DeviceBuffer) => DeviceBuffer,
): Promise<RoutingBefore> {
  const { driver, stream, library, context } = parts;
  const { layers, expertsPerToken } = context.config;
  const slots = MOST_ROWS_BY_SLOT * expertsPerToken;
  const words = new Int32Array(2 * layers * slots);
  const weights = new Float32Array(words.buffer);
  for (let layer = 0; layer < layers; layer++) {
    const first = 2 * layer * slots;
    if (routing.ids !== undefined) words.set(routing.ids.subarray(layer * slots, (layer + 1) * slots), first);
    weights.fill(1 / expertsPerToken, first + slots, first + 2 * slots);
  }
  const { pointer } = own(driver.allocate(words.byteLength));
  await uploadBytes(driver, stream, pointer, new Uint8Array(words.buffer));
  const routed = (layer: number): DevicePointer => pointer + BigInt(8 * layer * slots);
  return {
    slotExperts: await loadRoutedSlotExperts(driver, library, context),
    routed,
    enqueue: (onStream, layer, rows, logits) =>
      routing.enqueue(onStream, rows, { logits, ids: routed(layer), weights: routed(layer) + BigInt(4 * slots) }),
  };
}
