/**
 * The routing of one request as a file.
 *
 * @module
 */
import { writeFile } from 'node:fs/promises';
import type { RoutingEvent } from '../events.ts';

/** One layer of a trace: rows are the prompt's tokens and then the generated ones. */
export interface TracedLayer {
  readonly layer: number;
  readonly experts: number[][];
  readonly weights: number[][];
}

/** Puts `routing` events together. */
export class RoutingTrace {
  readonly #layers: TracedLayer[] = [];

  add({ tokens, layers }: RoutingEvent): void {
    for (const { layer, ids, weights } of layers) {
      const traced = (this.#layers[layer] ??= { layer, experts: [], weights: [] });
      const topK = ids.length / tokens;
      for (let row = 0; row < tokens; row++) {
        traced.experts.push([...ids.subarray(row * topK, (row + 1) * topK)]);
        traced.weights.push([...weights.subarray(row * topK, (row + 1) * topK)]);
      }
    }
  }

  get layers(): readonly TracedLayer[] {
    return this.#layers;
  }

  async write(path: string): Promise<void> {
    await writeFile(path, `${JSON.stringify(this.#layers)}\n`);
  }
}
