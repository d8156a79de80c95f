/// <reference types="@webgpu/types" preserve="true" />
/** Adapters: what is said of them, and where there is none to use. */

import { BackendUnavailableError } from '../errors.ts';

/** Names of drivers that compute on the CPU. */
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|basic render|\bwarp\b/i;

/** Whether an adapter computes on the CPU. Implementations that do not say so are known by their names. */
export function isSoftwareAdapter(info: Partial<GPUAdapterInfo> | undefined): boolean {
  if (info === undefined) return false;
  if (info.isFallbackAdapter === true) return true;
  return [info.vendor, info.architecture, info.device, info.description].some((text) => SOFTWARE.test(text ?? ''));
}

/** A short name of an adapter or its device. */
export function adapterName(info: GPUAdapterInfo | undefined): string {
  if (info === undefined) return 'WebGPU device';
  const name = [info.device, info.architecture, info.description].find((part) => part !== '') ?? 'WebGPU device';
  return info.vendor === '' ? name : `${name} (${info.vendor})`;
}

/** There is no adapter of the kind that was asked for. */
export function noAdapter(
  kind: 'adapter' | 'software adapter',
  found = `requestAdapter: no ${kind}`,
): BackendUnavailableError {
  return new BackendUnavailableError(
    'webgpu',
    `WebGPU has nothing to run on · found no ${kind} · install a GPU driver with Vulkan, Metal or Direct3D 12, or use backend "cpu"`,
    [found],
  );
}

/** The only adapter is software, and that was not asked for. */
export function onlySoftware(names: readonly string[]): BackendUnavailableError {
  return new BackendUnavailableError(
    'webgpu',
    `WebGPU has no GPU here, only software: ${names.join(', ')}. Install a GPU driver with Vulkan, Metal or Direct3D 12; software is slower than backend "cpu" and taken by backend "webgpu" alone.`,
    names.map((name) => `${name}: software`),
  );
}
