/** Which kernels some code loads, found out by letting it: nothing is compiled, and there is no device. */

import type { GpuDriver, GpuKernel, PreparedLaunch } from '../driver/gpu-driver.ts';
import type { KernelLibrary, KernelUnit } from './kernel-library.ts';
import type { KernelTarget } from './kernel-target.ts';

/** What code that only loads kernels needs of a driver and of a library. */
export type LaunchPreparer = Pick<GpuDriver, 'prepareLaunch'>;
export type KernelLoader = Pick<KernelLibrary, 'load' | 'target'>;

/** A kernel, and the unit that it is in. */
export interface ListedKernel {
  readonly unit: KernelUnit;
  readonly symbol: string;
}

/**
 * The kernels that `load` loads on a target, in its order. What it is given must be used for loading only: launches throw.
 */
export async function listKernels(
  target: KernelTarget,
  load: (driver: LaunchPreparer, library: KernelLoader) => Promise<unknown>,
): Promise<readonly ListedKernel[]> {
  const listed: ListedKernel[] = [];
  const library: KernelLoader = {
    target,
    load: async (unit, symbol): Promise<GpuKernel> => {
      listed.push({ unit, symbol });
      return { name: symbol, handle: 0n, resources: refuse, blocksPerMultiprocessor: refuse };
    },
  };
  const prepareLaunch = (): PreparedLaunch => ({
    arguments: new DataView(new ArrayBuffer(0)),
    grid: { x: 1, y: 1, z: 1 },
    overlapsKernelBefore: false,
    launch: refuse,
  });
  await load({ prepareLaunch }, library);
  return listed;
}

function refuse(): never {
  throw new RangeError('This kernel is listed, not loaded.');
}
