import type { Router, RouterOutput } from '@switchyard/router-kernel';

/**
 * The way of a forward step through the mixture-of-experts layers, the same for every device:
 *
 *   gate projection -> router -> dispatch to the experts by the plan -> combine by the weights -> next layer
 *
 * A device fuses what lies between two routers as it likes, so its part is given as the stretch from one to the next.
 */
export interface LayerPipeline {
  /** Layers of the model. */
  readonly layers: number;
  /** T, the tokens of this step. */
  readonly tokens: number;
  /** Embedding and attention of layer 0. Returns its router logits, f32 [T, experts]. */
  begin(): Promise<Float32Array>;
  /** Experts of `layer` by its routing, combined; then attention of the next layer. Returns that one's router logits. */
  advance(layer: number, routing: RouterOutput): Promise<Float32Array>;
  /** Experts of the last layer by its routing, combined; then the final norm and the LM head. */
  finish(routing: RouterOutput): Promise<void>;
}

/** Sees each layer's routing as it is chosen. */
export type RoutingObserver = (layer: number, routing: RouterOutput) => void;

/** Milliseconds spent in the two halves of a step. */
export interface StepClock {
  compute: number;
  router: number;
}

/** Runs one step through all layers. `router` makes dispatch plans. Times are added to `clock`. */
export async function runLayers(
  pipeline: LayerPipeline,
  router: Router,
  observe: RoutingObserver | null,
  clock: StepClock,
): Promise<void> {
  let logits = await pipeline.begin();
  for (let layer = 0; layer < pipeline.layers; layer++) {
    const started = performance.now();
    const routing = await router.route(logits, { tokens: pipeline.tokens });
    clock.router += performance.now() - started;
    observe?.(layer, routing);
    if (layer + 1 < pipeline.layers) {
      logits = await pipeline.advance(layer, routing);
    } else {
      await pipeline.finish(routing);
    }
  }
}
