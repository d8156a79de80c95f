/**
 * The rotary tables on the device. Rows are made as positions come into use.
 */

import { addressOf } from '@switchyard/gpu';
import type { DeviceBuffer, DevicePointer, GpuDriver, GpuStream } from '@switchyard/gpu';
import type { GptOssConfig } from '@switchyard/models';
import { RotaryTables } from '../rotary-tables.ts';
import { rotaryBytes } from './plan-memory.ts';

/** Cosines and sines of all positions of the context, f32 [contextLength, headDim / 2] each. */
export class RotaryRows {
  readonly cosines: DevicePointer;
  readonly sines: DevicePointer;
  readonly #driver: GpuDriver;
  readonly #buffer: DeviceBuffer;
  readonly #tables: RotaryTables;
  readonly #rowBytes: number;
  readonly #most: number;
  #rows = 0;

  constructor(driver: GpuDriver, config: GptOssConfig) {
    this.#driver = driver;
    this.#buffer = driver.allocate(rotaryBytes(config));
    this.cosines = this.#buffer.pointer;
    this.sines = this.#buffer.pointer + BigInt(rotaryBytes(config) / 2);
    this.#tables = new RotaryTables(config);
    this.#rowBytes = 4 * (config.headDim / 2);
    this.#most = config.contextLength;
  }

  /** Whether positions 0 to `positions` - 1 are ready. */
  covers(positions: number): boolean {
    return positions <= this.#rows;
  }

  /**
   * Makes positions 0 to `positions` - 1 ready for what is enqueued on the stream afterwards, where they are not.
   *
   * @param finished waits for the stream.
   */
  async reserve(positions: number, stream: GpuStream, finished: () => Promise<void>): Promise<void> {
    if (this.covers(positions)) return;
    this.#tables.reserve(positions);
    const rows = Math.min(this.#tables.rows, this.#most);
    const offset = this.#rows * this.#rowBytes;
    const bytes = rows * this.#rowBytes - offset;
    for (const [table, target] of [
      [this.#tables.cosine, this.cosines],
      [this.#tables.sine, this.sines],
    ] as const) {
      const source = addressOf(new Uint8Array(table.buffer, offset, bytes));
      this.#driver.copyToDevice(target + BigInt(offset), source, bytes, stream);
    }
    // The tables are kept as they are until the device has them.
    await finished();
    this.#rows = rows;
  }

  free(): void {
    this.#buffer.free();
  }
}
