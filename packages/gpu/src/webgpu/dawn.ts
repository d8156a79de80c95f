/** Opens WebGPU in Node: the optional package `webgpu`, which is Dawn. */

import { BackendUnavailableError, reasonOf } from '../errors.ts';
import { noAdapter, onlySoftware } from './adapters.ts';
import { loadSwiftShader } from './swiftshader.ts';
import type { probeVulkan } from './vulkan-probe.ts';

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
 * @param hardwareOnly whether to refuse a machine whose only GPUs are software. Nothing is written to standard error.
 * @throws BackendUnavailableError where the package is missing or does not load, or Vulkan has nothing that is wanted
 */
export async function openDawn(software: boolean, hardwareOnly = false): Promise<GPU> {
  const opening = opened.get(software) ?? open(software, hardwareOnly);
  opened.set(software, opening);
  try {
    return await opening;
  } catch (error) {
    opened.delete(software);
    throw error;
  }
}

async function open(software: boolean, hardwareOnly: boolean): Promise<GPU> {
  const create = await importDawn();
  if (software) await loadSwiftShader();
  else if (process.platform === 'linux') await requireVulkan(hardwareOnly);
  return create([]);
}

/** Dawn goes through Vulkan on Linux, and complains on standard error where there is none. */
async function requireVulkan(hardwareOnly: boolean): Promise<void> {
  const { devices, reason } = await vulkanDevices();
  if (devices === null) throw noAdapter('adapter', reason);
  if (devices.length === 0) throw noAdapter('adapter', 'Vulkan: no driver');
  if (hardwareOnly && devices.every(({ type }) => type === 'cpu')) throw onlySoftware(devices.map(({ name }) => name));
}

/** Asked through native code, which a platform may lack and a process may forbid. */
async function vulkanDevices(): Promise<ReturnType<typeof probeVulkan>> {
  try {
    return (await import('./vulkan-probe.ts')).probeVulkan();
  } catch (cause) {
    throw noAdapter('adapter', `Vulkan could not be asked: ${reasonOf(cause)}`);
  }
}

async function importDawn(): Promise<(options: string[]) => GPU> {
  try {
    const { create } = await import('webgpu');
    return create;
  } catch (cause) {
    const reason = reasonOf(cause);
    throw new BackendUnavailableError(
      'webgpu',
      `The package "webgpu" did not load: ${reason}. Install it (npm install webgpu), or use backend "cpu".`,
      [`import webgpu: ${reason}`],
      { cause },
    );
  }
}
