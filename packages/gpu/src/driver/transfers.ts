/** Copies between host and device that are waited for: for setting up and for checking, not for a loop. */

import type { DevicePointer, GpuDriver, GpuStream } from './gpu-driver.ts';

/** Copies host bytes to the device and waits. */
export async function uploadBytes(
  driver: GpuDriver,
  stream: GpuStream,
  destination: DevicePointer,
  bytes: Uint8Array,
): Promise<void> {
  const pinned = driver.allocatePinned(bytes.byteLength);
  try {
    new Uint8Array(pinned.memory).set(bytes);
    driver.copyToDevice(destination, pinned.pointer, bytes.byteLength, stream);
    await stream.synchronize();
  } finally {
    pinned.free();
  }
}

/** Copies device bytes to fresh host memory. */
export async function downloadBytes(
  driver: GpuDriver,
  stream: GpuStream,
  source: DevicePointer,
  bytes: number,
): Promise<ArrayBuffer> {
  const pinned = driver.allocatePinned(bytes);
  try {
    driver.copyToHost(pinned.pointer, source, bytes, stream);
    await stream.synchronize();
    return pinned.memory.slice(0, bytes);
  } finally {
    pinned.free();
  }
}
