import type { Router, RouterOutput } from '@switchyard/router-kernel';

/**
 * The way of a forward step through the mixture-of-experts layers, the same for every device:
 *
 *   attention, gate projection -> router -> dispatch to the experts by the plan, combine by the weights -> next layer
 */
export interface LayerPipeline {
  /** Layers of the model. */
  readonly layers: number;
  /** T, the tokens of this step. */
  readonly tokens: number;
  /** Everything of `layer` up to its router. Returns the router logits, f32 [T, experts]. */
  attend(layer: number): Promise<Float32Array>;
  /** The experts of `layer` by its routing, combined. */
  mixExperts(layer: number, routing: RouterOutput): Promise<void>;
  /** The final norm and the LM head. */
  finish(): Promise<void>;
}

/** Sees each layer's routing as it is chosen. */
export type RoutingObserver = (layer: number, routing: RouterOutput) => void;

/** Milliseconds spent in the parts of a step. */
export interface StepClock {
  /** In ONNX Runtime. */
  compute: number;
  /** In the expert kernel, where the experts are not ONNX Runtime's. */
  experts: number;
  /** In the router. */
  router: number;
}

/** Runs one step through all layers. `router` makes dispatch plans. Times are added to `clock`. */
export async function runLayers(
  pipeline: LayerPipeline,
  router: Router,
  observe: RoutingObserver | null,
  clock: StepClock,
): Promise<void> {
  for (let layer = 0; layer < pipeline.layers; layer++) {
    const logits = await pipeline.attend(layer);
    const started = performance.now();
    const routing = await router.route(logits, { tokens: pipeline.tokens });
    clock.router += performance.now() - started;
    observe?.(layer, routing);
    await pipeline.mixExperts(layer, routing);
  }
  await pipeline.finish();
}
