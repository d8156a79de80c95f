/**
 * Device memory of a pass: activations, the router's results, what leaves the device. Allocated once.
 */

import type { DeviceBuffer, DevicePointer, GpuDriver } from '@switchyard/gpu';
import type { GptOssConfig } from '@switchyard/models';
import { workspaceSizes } from './sizes.ts';
import { STEP_BYTES } from './step-block.ts';

export type WorkspaceName = keyof ReturnType<typeof workspaceSizes>;

const ALIGNMENT = 256;
const aligned = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

/** Bytes of a workspace. */
export function workspaceBytes(config: GptOssConfig, planBytes: number): number {
  return Object.values(workspaceSizes(config, STEP_BYTES, planBytes)).reduce((sum, bytes) => sum + aligned(bytes), 0);
}

/** Addresses by name, all in one buffer. */
export class Workspace {
  readonly at: Readonly<Record<WorkspaceName, DevicePointer>>;
  readonly #buffer: DeviceBuffer;

  /** @param planBytes what the router's dispatch plan of MOST_ROWS rows takes. */
  constructor(driver: GpuDriver, config: GptOssConfig, planBytes: number) {
    this.#buffer = driver.allocate(workspaceBytes(config, planBytes));
    let end = this.#buffer.pointer;
    const at: Record<string, DevicePointer> = {};
    for (const [name, bytes] of Object.entries(workspaceSizes(config, STEP_BYTES, planBytes))) {
      at[name] = end;
      end += BigInt(aligned(bytes));
    }
    this.at = at as Record<WorkspaceName, DevicePointer>;
  }

  free(): void {
    this.#buffer.free();
  }
}
