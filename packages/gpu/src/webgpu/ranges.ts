/// <reference types="@webgpu/types" preserve="true" />
/** Parts of GPU buffers, cut into what WebGPU can bind. */

/** A buffer from a byte offset on. The offset defaults to 0. */
export interface GpuRange {
  readonly buffer: GPUBuffer;
  readonly offset?: number;
}

/** A range as it is bound: from an offset that WebGPU allows, with the bytes that lie between it and the range. */
export interface BoundRange {
  readonly binding: GPUBufferBinding;
  /** Bytes from the binding's start to the range's. */
  readonly lead: number;
}

/** Cuts `bytes` bytes from `start` bytes past a range's offset into a binding. */
export function bindRange(range: GpuRange, start: number, bytes: number, alignment: number): BoundRange {
  const first = (range.offset ?? 0) + start;
  const lead = first % alignment;
  return {
    binding: { buffer: range.buffer, offset: first - lead, size: Math.max(Math.ceil((lead + bytes) / 4) * 4, 4) },
    lead,
  };
}
