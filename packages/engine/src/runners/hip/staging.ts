/**
 * Page-locked memory that steps go down and results come up through.
 */

import type { GpuDriver, PinnedBuffer } from '@switchyard/gpu';
import type { GptOssConfig } from '@switchyard/models';
import { HEAD_ROWS, routingStride } from './sizes.ts';
import { MOST_ROWS, STEP_BYTES } from './step-block.ts';

/** What a runner needs of it. Allocated once. */
export class Staging {
  readonly step: PinnedBuffer;
  /** The step block. */
  readonly stepWords: Int32Array;
  /** What the routers chose: see routingStride. */
  readonly routing: PinnedBuffer;
  /** f32 [HEAD_ROWS, vocabulary]. */
  readonly logits: PinnedBuffer;
  /** i32 [HEAD_ROWS]. */
  readonly tokens: PinnedBuffer;
  readonly #buffers: PinnedBuffer[] = [];

  constructor(driver: GpuDriver, config: GptOssConfig) {
    const allocate = (bytes: number): PinnedBuffer => {
      const buffer = driver.allocatePinned(bytes);
      this.#buffers.push(buffer);
      return buffer;
    };
    try {
      this.step = allocate(STEP_BYTES);
      this.routing = allocate(2 * config.layers * routingStride(config, MOST_ROWS));
      this.logits = allocate(4 * HEAD_ROWS * config.vocabularySize);
      this.tokens = allocate(4 * HEAD_ROWS);
    } catch (error) {
      this.free();
      throw error;
    }
    this.stepWords = new Int32Array(this.step.memory, 0, STEP_BYTES / 4);
  }

  free(): void {
    for (const buffer of this.#buffers.splice(0)) buffer.free();
  }
}
