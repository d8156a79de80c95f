/**
 * Collects what the routers choose: the load of every expert, and the rows of requests that asked for their own.
 *
 * @module
 */
import type { LayerRouting, SequenceStep } from '../runner.ts';

/** Tokens that each expert got, since the start. */
export interface ExpertLoad {
  readonly layers: number;
  readonly experts: number;
  /** f64 [layers, experts]: slots routed to the expert. */
  readonly counts: Float64Array;
}

/** Listens to a runner's `onRouting`. */
export class RoutingLog {
  readonly load: ExpertLoad;
  /** Whether to keep every row for `takeAll`. */
  keepAll = false;
  #all: LayerRouting[] = [];
  readonly #topK: number;
  readonly #traced = new Map<number, LayerRouting[]>();

  constructor(shape: { readonly layers: number; readonly experts: number; readonly topK: number }) {
    const { layers, experts, topK } = shape;
    this.load = { layers, experts, counts: new Float64Array(layers * experts) };
    this.#topK = topK;
  }

  /** Keeps this sequence's rows of the next step. */
  trace(sequence: number): void {
    this.#traced.set(sequence, []);
  }

  /** The rows kept since `trace`, by layer, and no more of them. */
  take(sequence: number): readonly LayerRouting[] {
    const layers = this.#traced.get(sequence) ?? [];
    this.#traced.delete(sequence);
    return layers;
  }

  /** Every row since the last call, while `keepAll` is set. */
  takeAll(): readonly LayerRouting[] {
    const all = this.#all;
    this.#all = [];
    return all;
  }

  /** The runner's callback. */
  readonly record = (routing: LayerRouting, batch: readonly SequenceStep[]): void => {
    const { experts, counts } = this.load;
    const first = routing.layer * experts;
    for (const id of routing.ids) if (id >= 0) counts[first + id] = (counts[first + id] ?? 0) + 1;
    if (this.keepAll) this.#all.push({ ...routing, ids: routing.ids.slice(), weights: routing.weights.slice() });
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
