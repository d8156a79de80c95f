/**
 * Page-locked memory that steps go down and results come up through.
 */

import type { GpuDriver, GpuEvent, PinnedBuffer } from '@switchyard/gpu';
import type { GptOssConfig } from '@switchyard/models';
import { MOST_STEPS_UNDER_WAY } from '../runner.ts';
import { CHOSEN_TOKEN_BYTES, HEAD_ROWS, TOKEN_PLACES, chosenBytes } from './sizes.ts';
import { STEP_BYTES } from './step-block.ts';

/** Passes of one step that are under way at once: one of each kind. */
export const MOST_PASSES_UNDER_WAY = 3;

/** What one pass has of it, until the device has passed `done`. */
export interface PassStaging {
  readonly step: PinnedBuffer;
  /** The step block. */
  readonly stepWords: Int32Array;
  /** What the pass and those before it chose: see chosenBytes. */
  readonly chosen: PinnedBuffer;
  /** i32 [TOKEN_PLACES]. */
  readonly tokens: Int32Array;
  /** What the routers chose, as ids and as weights: see routingStride. */
  readonly routingIds: Int32Array;
  readonly routingWeights: Float32Array;
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
        const chosen = allocate(chosenBytes(config));
        const routingWords = (chosen.bytes - CHOSEN_TOKEN_BYTES) / 4;
        this.#passes.push({
          step,
          stepWords: new Int32Array(step.memory, 0, STEP_BYTES / 4),
          chosen,
          tokens: new Int32Array(chosen.memory, 0, TOKEN_PLACES),
          routingIds: new Int32Array(chosen.memory, CHOSEN_TOKEN_BYTES, routingWords),
          routingWeights: new Float32Array(chosen.memory, CHOSEN_TOKEN_BYTES, routingWords),
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
