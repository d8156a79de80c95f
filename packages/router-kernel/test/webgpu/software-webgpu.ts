/** The WebGPU of these tests: Dawn on SwiftShader, both from npm packages. */

import { openDawn } from '@switchyard/gpu/webgpu';
import { BackendUnavailableError } from '../../src/errors.ts';

/** GPUBufferUsage and GPUTextureUsage, whose globals Node does not have. */
const [MAP_READ, STORAGE, RENDER_ATTACHMENT] = [0x1, 0x80, 0x10];

/** A mocha hook that skips, and says why, on platforms for which the packages have no binaries. */
export async function skipWithoutWebGpu(this: Mocha.Context): Promise<void> {
  try {
    await openDawn(true);
  } catch (error) {
    if (!(error instanceof BackendUnavailableError)) throw error;
    console.log(`    skipped: ${error.message}`);
    this.skip();
  }
}

/** A device of its own on SwiftShader, for tests that lose or fill it. The caller destroys it. */
export async function requestSoftwareDevice(
  features: readonly GPUFeatureName[] = ['subgroups'],
  requiredLimits: Readonly<Record<string, number>> = {},
): Promise<GPUDevice> {
  const gpu = await openDawn(true);
  const adapter = await gpu.requestAdapter({ forceFallbackAdapter: true });
  if (adapter === null) throw new Error('SwiftShader gave no adapter.');
  return adapter.requestDevice({ requiredFeatures: features, requiredLimits });
}

/** A buffer that WebGPU could not give memory to, with its own error for that. */
export function makeUnallocatedBuffer(device: GPUDevice, size: number): GPUBuffer {
  device.createTexture({ size: [8192, 8192, 256], format: 'rgba32float', usage: RENDER_ATTACHMENT });
  device.pushErrorScope('validation');
  const buffer = device.createBuffer({ size, usage: MAP_READ | STORAGE });
  void device.popErrorScope();
  return buffer;
}
