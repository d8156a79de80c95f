import type { ExpertTensor, Tensor } from '../tensors/tensor.ts';

/**
 * One decoder layer's tensors, whatever the file calls them. Linear weights are [out, in]. Floats are BF16,
 * or F16 or F32 where the file has them so, each tensor for itself: `readFloats` reads all three.
 */
export interface GptOssLayerWeights {
  readonly inputNorm: Tensor;
  /** Query, key and value projections; the `original/` layout's fused qkv is given as three views. */
  readonly query: { readonly weight: Tensor; readonly bias: Tensor };
  readonly key: { readonly weight: Tensor; readonly bias: Tensor };
  readonly value: { readonly weight: Tensor; readonly bias: Tensor };
  readonly output: { readonly weight: Tensor; readonly bias: Tensor };
  /** [heads]. */
  readonly sinks: Tensor;
  readonly postAttentionNorm: Tensor;
  /** The gate projection: weight [experts, hidden], bias [experts]. */
  readonly router: { readonly weight: Tensor; readonly bias: Tensor };
  /** [experts, 2 * intermediate, hidden], gate and up interleaved row by row. Bias [experts, 2 * intermediate]. */
  readonly gateUp: { readonly weight: ExpertTensor; readonly bias: Tensor };
  /** [experts, hidden, intermediate]. Bias [experts, hidden]. */
  readonly down: { readonly weight: ExpertTensor; readonly bias: Tensor };
}

/** A GPT-OSS checkpoint's tensors by role. */
export interface GptOssWeights {
  /** [vocabulary, hidden]. */
  readonly embedding: Tensor;
  readonly layers: readonly GptOssLayerWeights[];
  readonly finalNorm: Tensor;
  /** [vocabulary, hidden]; the embedding itself where the configuration ties them. */
  readonly lmHead: Tensor;
}
