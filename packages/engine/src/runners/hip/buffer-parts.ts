/**
 * Parts of one buffer of device memory, one behind the other.
 */

import type { DeviceBuffer, DevicePointer, GpuDriver } from '@switchyard/gpu';

/** Parts begin at multiples of this, in bytes. */
const ALIGNMENT = 256;
const aligned = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

/** A buffer with its parts' addresses, by name. */
export interface BufferParts<Name extends string> {
  readonly buffer: DeviceBuffer;
  readonly at: Readonly<Record<Name, DevicePointer>>;
}

/** Bytes of a buffer with parts of these sizes. */
export function bytesOfParts(sizes: readonly number[]): number {
  return sizes.reduce((end, bytes) => end + aligned(bytes), 0);
}

/**
 * Allocates a buffer for parts, in their order.
 *
 * @param bytesOf the size of a part.
 * @throws OutOfDeviceMemoryError, DeviceError
 */
export function allocateParts<Name extends string, Part>(
  driver: GpuDriver,
  parts: Readonly<Record<Name, Part>>,
  bytesOf: (part: Part) => number,
): BufferParts<Name> {
  const sizes = Object.entries<Part>(parts).map(([name, part]) => [name, bytesOf(part)] as const);
  const buffer = driver.allocate(bytesOfParts(sizes.map(([, bytes]) => bytes)));
  const at: Partial<Record<string, DevicePointer>> = {};
  let end = buffer.pointer;
  for (const [name, bytes] of sizes) {
    at[name] = end;
    end += BigInt(aligned(bytes));
  }
  return { buffer, at: at as Record<Name, DevicePointer> };
}
