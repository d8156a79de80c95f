/** What the environment says about GPUs, for messages: a variable that hides a GPU is easily forgotten. */

import { accessSync, constants } from 'node:fs';
import type { GpuPlatform } from './gpu-driver.ts';

/** Environment variables that decide which GPUs a runtime shows, and as what. */
const VARIABLES: Readonly<Record<GpuPlatform, readonly string[]>> = {
  amd: ['HIP_VISIBLE_DEVICES', 'ROCR_VISIBLE_DEVICES', 'CUDA_VISIBLE_DEVICES', 'HSA_OVERRIDE_GFX_VERSION'],
  nvidia: ['CUDA_VISIBLE_DEVICES', 'NVIDIA_VISIBLE_DEVICES'],
};

/** Those of a platform's variables that are set, as `NAME=value`. */
export function gpuVariablesSet(
  platform: GpuPlatform,
  environment: NodeJS.ProcessEnv = process.env,
): readonly string[] {
  return VARIABLES[platform].flatMap((name) => {
    const value = environment[name];
    return value === undefined ? [] : [`${name}=${value}`];
  });
}

/** A part of a message, with the variables that are set and may be the cause. */
export function withVariables(text: string, platform: GpuPlatform, environment?: NodeJS.ProcessEnv): string {
  const set = gpuVariablesSet(platform, environment);
  return set.length === 0 ? text : `${text} (set here: ${set.join(', ')})`;
}

/** What AMD's runtime opens for every GPU. */
const KERNEL_DRIVER = '/dev/kfd';

/**
 * What to do where AMD's runtime sees no GPU, by what can be done with its device file.
 *
 * @param open throws where the file may not be opened for reading and writing. Replaced in tests
 */
export function amdDeviceAdvice(
  open: (file: string) => void = (file) => accessSync(file, constants.R_OK | constants.W_OK),
): string {
  const container = 'start a container with --device /dev/kfd --device /dev/dri';
  try {
    open(KERNEL_DRIVER);
  } catch (error) {
    const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined;
    if (code === 'EACCES' || code === 'EPERM') {
      return `${KERNEL_DRIVER} may not be opened: join the group that owns it (sudo usermod -aG render,video $USER, then log in again), or ${container} --group-add render`;
    }
    return `${KERNEL_DRIVER} is missing: load the amdgpu driver, or ${container}`;
  }
  return 'check that rocminfo lists it';
}
