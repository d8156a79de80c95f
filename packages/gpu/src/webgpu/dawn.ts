/** Opens WebGPU in Node: the optional package `webgpu`, which is Dawn. */

import { BackendUnavailableError } from '../errors.ts';
import { loadSwiftShader } from './swiftshader.ts';

/**
 * The process's GPU objects, of hardware and of software. They are never let go: once the object that `create()`
 * returned is collected, every device made from it crashes the process.
 */
const opened = new Map<boolean, Promise<GPU>>();

/**
 * The process's GPU object.
 *
 * @param software whether its Vulkan is SwiftShader. Once it was opened, Vulkan instances that are made later in this
 *   process find SwiftShader alone.
 * @throws BackendUnavailableError where the package is missing or does not load
 */
export async function openDawn(software: boolean): Promise<GPU> {
  const opening = opened.get(software) ?? open(software);
  opened.set(software, opening);
  try {
    return await opening;
  } catch (error) {
    opened.delete(software);
    throw error;
  }
}

async function open(software: boolean): Promise<GPU> {
  if (software) await loadSwiftShader();
  try {
    const { create } = await import('webgpu');
    return create([]);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new BackendUnavailableError(
      'webgpu',
      `The package "webgpu" did not load: ${reason}. Install it (npm install webgpu), or use backend "cpu".`,
      [`import webgpu: ${reason}`],
      { cause },
    );
  }
}
