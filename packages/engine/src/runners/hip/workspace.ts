/**
 * Device memory of a pass: activations, the router's results, what leaves the device. Allocated once.
 */

import type { GpuDriver } from '@switchyard/gpu';
import type { GptOssConfig } from '@switchyard/models';
import type { Activations } from '../runner-module.ts';
import { type BufferParts, allocateParts, bytesOfParts } from './buffer-parts.ts';
import { workspaceSizes } from './sizes.ts';

type WorkspaceName = keyof ReturnType<typeof workspaceSizes>;

/** Bytes of a workspace. */
export function workspaceBytes(config: GptOssConfig, activations: Activations, planBytes: number): number {
  return bytesOfParts(Object.values(workspaceSizes(config, activations, planBytes)));
}

/** Addresses by name, all in one buffer. */
export class Workspace {
  readonly at: BufferParts<WorkspaceName>['at'];
  readonly #buffer: BufferParts<WorkspaceName>['buffer'];

  /** @param planBytes what the router's dispatch plans of up to MOST_ROWS rows take. */
  constructor(driver: GpuDriver, config: GptOssConfig, activations: Activations, planBytes: number) {
    const { buffer, at } = allocateParts(driver, workspaceSizes(config, activations, planBytes), (bytes) => bytes);
    this.at = at;
    this.#buffer = buffer;
  }

  free(): void {
    this.#buffer.free();
  }
}
