/** Opens WebGPU in Node: the optional package `webgpu`, which is Dawn. */

import { BackendUnavailableError } from '../errors.ts';
import { loadSwiftShader } from './swiftshader.ts';

/**
 * The process's GPU object. It is never let go: once the object that `create()` returned is collected, every device
 * made from it crashes the process.
 */
let opened: Promise<GPU> | null = null;

/**
 * The process's GPU object.
 *
 * @param software whether Vulkan shall find SwiftShader; heard only before the first GPU object was opened
 * @throws BackendUnavailableError where the package is missing or does not load
 */
export async function openDawn(software: boolean): Promise<GPU> {
  opened ??= open(software);
  try {
    return await opened;
  } catch (error) {
    opened = null;
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
