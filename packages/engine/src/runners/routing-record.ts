/**
 * What the routers of one runner chose: the load of every expert, and the rows of sequences that are traced.
 */

import type { GptOssConfig } from '@switchyard/models';
import type { LogitsStep } from './logits-runner.ts';
import type { ExpertLoad, LayerRouting } from './runner.ts';

/** The sizes of what routers choose. */
export interface RoutingShape {
  readonly layers: number;
  readonly experts: number;
  readonly topK: number;
}

/** Those of a model. */
export function routingShapeOf({
  layers,
  experts,
  expertsPerToken,
}: Pick<GptOssConfig, 'layers' | 'experts' | 'expertsPerToken'>): RoutingShape {
  return { layers, experts, topK: expertsPerToken };
}

/** Listens to a LogitsRunner's `onRouting`. */
export class RoutingRecord {
  readonly load: ExpertLoad;
  /** Hears every layer of each step while set. */
  listener: ((routing: LayerRouting) => void) | null = null;
  readonly #topK: number;
  readonly #traced = new Map<number, LayerRouting[]>();

  constructor({ layers, experts, topK }: RoutingShape) {
    this.load = { layers, experts, counts: new Float64Array(layers * experts) };
    this.#topK = topK;
  }

  /** Keeps these sequences' rows of the next step, and no others'. */
  trace(sequences: readonly number[]): void {
    this.#traced.clear();
    for (const sequence of sequences) this.#traced.set(sequence, []);
  }

  /** A traced sequence's rows of the step, one entry a layer. */
  rowsOf(sequence: number): readonly LayerRouting[] {
    return this.#traced.get(sequence) ?? [];
  }

  /** The runner's callback. */
  readonly record = (routing: LayerRouting, batch: readonly LogitsStep[]): void => {
    const { experts, counts } = this.load;
    const first = routing.layer * experts;
    for (const id of routing.ids) if (id >= 0) counts[first + id] = (counts[first + id] ?? 0) + 1;
    this.listener?.({ ...routing, ids: routing.ids.slice(), weights: routing.weights.slice() });
    if (this.#traced.size === 0) return;
    let row = 0;
    for (const { sequence, tokens } of batch) {
      const end = row + tokens.length;
      this.#traced.get(sequence)?.push({
        layer: routing.layer,
        ids: routing.ids.slice(row * this.#topK, end * this.#topK),
        weights: routing.weights.slice(row * this.#topK, end * this.#topK),
      });
      row = end;
    }
  };
}
