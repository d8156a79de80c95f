/** The WebGPU of these tests: Dawn on SwiftShader, both from npm packages. */

import { openDawn } from '@switchyard/gpu/webgpu';
import { BackendUnavailableError } from '../../src/errors.ts';

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
