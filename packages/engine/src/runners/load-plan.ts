/**
 * What loading a model takes, as a runner tells it before it reads any weight: from the configuration and the tensors'
 * headers alone.
 */

/** What weights are for, in the order of a token's path. */
export type WeightKind = 'embedding' | 'attention' | 'router' | 'experts' | 'norms' | 'head';

/** Memory of a runner, in bytes, known before anything is loaded. Survives a structured clone. */
export interface LoadPlan {
  /** The runner's name, such as 'onnxruntime-cpu'. */
  readonly runner: string;
  /** How the experts are held, such as 'int4' or 'exact'. */
  readonly precision: string;
  /** Bytes that stay, by what they are for; kinds that are read from the checkpoint when needed have 0. */
  readonly weights: readonly { readonly kind: WeightKind; readonly bytes: number }[];
  /** The sum of `weights`. */
  readonly weightBytes: number;
  /** The most that exists beside what stays at any moment of loading: at most one layer. */
  readonly loadingBytes: number;
  /** Activations and logits of the largest step. */
  readonly workspaceBytes: number;
  /** KV bytes of one token in all layers, while no window limits them. */
  readonly kvBytesPerToken: number;
  /** KV bytes of one sequence of 4096 tokens (or of the context, where that is shorter): less than this is not worth loading for. */
  readonly smallestKvBytes: number;
}

/** How far a load is, in bytes of the checkpoint's tensors. */
export interface LoadingStep {
  /** What is being loaded, such as 'head' or 'layer 3 of 24'. */
  readonly what: string;
  /** Bytes of the checkpoint that are read and converted. */
  readonly doneBytes: number;
  /** Bytes that will be. */
  readonly totalBytes: number;
  /** Milliseconds spent so far in reading files, in converting weights, and in the runner's library (making its sessions). */
  readonly readMs: number;
  readonly convertMs: number;
  readonly sessionMs: number;
}
