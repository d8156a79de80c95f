/**
 * Page-locked memory that steps go down and results come up through.
 */

import type { GpuDriver, GpuEvent, PinnedBuffer } from '@switchyard/gpu';
import type { GptOssConfig } from '@switchyard/models';
import { MOST_STEPS_UNDER_WAY } from '../runner.ts';
import { HEAD_ROWS, routingStride } from './sizes.ts';
import { MOST_ROWS, STEP_BYTES } from './step-block.ts';

/** Passes of one step that are under way at once: one of each kind. */
export const MOST_PASSES_UNDER_WAY = 3;

/** What one pass has of it, until the device has passed `done`. */
export interface PassStaging {
  readonly step: PinnedBuffer;
  /** The step block. */
  readonly stepWords: Int32Array;
  /** What the routers chose: see routingStride. */
  readonly routing: PinnedBuffer;
  /** All of it, as ids and as weights. */
  readonly routingIds: Int32Array;
  readonly routingWeights: Float32Array;
  /** i32 [HEAD_ROWS]. */
  readonly tokens: PinnedBuffer;
  /** Behind all that the pass enqueues. */
  readonly done: GpuEvent;
}

/** What a runner needs of it. Allocated once. */
export class Staging {
  /** f32 [HEAD_ROWS, vocabulary]: of one pass at a time. */
  readonly logits: PinnedBuffer;
  readonly #passes: PassStaging[] = [];
  readonly #releases: (() => void)[] = [];
  #next = 0;

  constructor(driver: GpuDriver, config: GptOssConfig) {
    const allocate = (bytes: number): PinnedBuffer => {
      const buffer = driver.allocatePinned(bytes);
      this.#releases.push(() => buffer.free());
      return buffer;
    };
    try {
      this.logits = allocate(4 * HEAD_ROWS * config.vocabularySize);
      for (let pass = 0; pass < MOST_STEPS_UNDER_WAY * MOST_PASSES_UNDER_WAY; pass++) {
        const step = allocate(STEP_BYTES);
        const done = driver.createEvent({ timing: false });
        this.#releases.push(() => done.destroy());
        const routing = allocate(2 * config.layers * routingStride(config, MOST_ROWS));
        this.#passes.push({
          step,
          stepWords: new Int32Array(step.memory, 0, STEP_BYTES / 4),
          routing,
          routingIds: new Int32Array(routing.memory, 0, routing.bytes / 4),
          routingWeights: new Float32Array(routing.memory, 0, routing.bytes / 4),
          tokens: allocate(4 * HEAD_ROWS),
          done,
        });
      }
    } catch (error) {
      this.free();
      throw error;
    }
  }

  /** That of the next pass: the one that was given out longest ago. */
  next(): PassStaging {
    const pass = this.#passes[this.#next++ % this.#passes.length];
    if (pass === undefined) throw new RangeError('There is no staging memory.');
    return pass;
  }

  free(): void {
    for (const release of this.#releases.splice(0)) release();
  }
}
