/** A kernel with its argument list: loaded once, launched by argument names any number of times. */

import type { Extent, PreparedLaunch, StreamLike } from '../driver/gpu-driver.ts';
import type { KernelArgument } from './argument-list.ts';
import type { ArgumentWriter } from './argument-writer.ts';
import { argumentWriter } from './argument-writer.ts';
import type { KernelUnit } from './kernel-library.ts';
import type { KernelLoader, LaunchPreparer } from './list-kernels.ts';

/** What is launched, and how. */
export interface KernelLaunchDescription<List extends readonly KernelArgument[]> {
  readonly unit: KernelUnit;
  /** The kernel's name in the unit. */
  readonly symbol: string;
  readonly arguments: List;
  /** Threads of a block. */
  readonly threadsPerBlock: Extent;
  /** Bytes of shared memory that a block gets beside what the kernel declares. Defaults to 0. */
  readonly sharedBytes?: number;
  /** See `PreparedLaunch.overlapsKernelBefore`. Defaults to `false`. */
  readonly overlapsKernelBefore?: boolean;
}

/** A loaded kernel. */
export class KernelLaunch<Name extends string> {
  readonly #prepared: PreparedLaunch;
  readonly #writer: ArgumentWriter<Name>;

  constructor(prepared: PreparedLaunch, writer: ArgumentWriter<Name>) {
    this.#prepared = prepared;
    this.#writer = writer;
  }

  /**
   * Enqueues a launch. Allocates nothing on the device and does not wait.
   *
   * @param blocks of the grid, in x, y and z
   * @param values every argument: pointers and i64 as bigint, u32 and f32 as number
   */
  launch(stream: StreamLike, blocks: Extent, values: Readonly<Record<Name, number | bigint>>): void {
    this.#writer.write(this.#prepared.arguments, values);
    const { grid } = this.#prepared;
    if (typeof blocks === 'number') {
      grid.x = blocks;
      grid.y = 1;
      grid.z = 1;
    } else {
      [grid.x, grid.y = 1, grid.z = 1] = blocks;
    }
    this.#prepared.launch(stream);
  }
}

/** Loads a kernel and prepares its launch. Throws what `KernelLibrary.load` throws. */
export async function loadLaunch<const List extends readonly KernelArgument[]>(
  driver: LaunchPreparer,
  library: Pick<KernelLoader, 'load'>,
  description: KernelLaunchDescription<List>,
): Promise<KernelLaunch<List[number]['name']>> {
  const { unit, symbol, threadsPerBlock, sharedBytes = 0, overlapsKernelBefore = false } = description;
  const kernel = await library.load(unit, symbol);
  const writer = argumentWriter(description.arguments);
  const prepared = driver.prepareLaunch(kernel, { block: threadsPerBlock, argumentBytes: writer.bytes, sharedBytes });
  prepared.overlapsKernelBefore = overlapsKernelBefore;
  return new KernelLaunch(prepared, writer);
}
