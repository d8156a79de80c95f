import type { GptOssLayerWeights } from '@switchyard/models';
import type { DispatchPlan } from '@switchyard/router-kernel';
import type { SessionOptions } from './graph-session.ts';

/** What a layer's experts have to do in one step. T = tokens, K = experts a token. */
export interface ExpertStep {
  readonly layer: number;
  /** `'decode'`: each token is another sequence's next one. `'prefill'`: the tokens follow each other in one sequence. */
  readonly phase: 'prefill' | 'decode';
  /** f32 [T, hidden]. */
  readonly input: Float32Array;
  /** The residual stream, f32 [T, hidden]. May be written over. */
  readonly residual: Float32Array;
  /** i32 [T, K]. */
  readonly ids: Int32Array;
  /** f32 [T, K]. */
  readonly weights: Float32Array;
  readonly plan: DispatchPlan;
}

/** The experts of all layers: dispatch by the plan, the experts' products, combine by the weights, residual. */
export interface ExpertBlock {
  /** Loads the next layer's experts. */
  addLayer(layer: GptOssLayerWeights, options: SessionOptions): Promise<void> | void;
  /** Says that no layer follows. */
  endLoading(): void;
  /** Returns the residual stream after the layer, f32 [T, hidden]: each token's experts, weighted and summed, added. */
  mix(step: ExpertStep): Promise<Float32Array>;
  release(): Promise<void>;
}
