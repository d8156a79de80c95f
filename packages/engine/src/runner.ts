/**
 * The border between what every device shares (scheduler, sampling, server) and one device's business.
 *
 * Above it nobody knows where activations, weights or the KV cache live; below it nobody knows of text or requests.
 */

/** The ids and weights that one MoE layer's router chose in one forward step, rows in the step's token order. */
export interface LayerRouting {
  /** Layer index from 0. */
  readonly layer: number;
  /** i32 [T, K]. */
  readonly ids: Int32Array;
  /** f32 [T, K]. */
  readonly weights: Float32Array;
}

/** Which of a step's positions get logits: none (prefill that goes on), the last one, or all (scoring). */
export type LogitsWanted = 'none' | 'last' | 'all';

/** One sequence's part of a forward step. */
export interface SequenceStep {
  /** A sequence made by this runner. */
  readonly sequence: number;
  /** The tokens to append, at least one. They stand at positions `length(sequence)` and up. */
  readonly tokens: Int32Array;
  /** Defaults to `'last'`. */
  readonly logits?: LogitsWanted;
}

/** What a forward step gives back for one sequence. */
export interface SequenceOutput {
  /** f32, rows * vocabularySize: 0 rows for 'none', 1 for 'last', tokens.length for 'all'. */
  readonly logits: Float32Array;
}

/** Where the time of the steps so far went, in milliseconds. */
export interface RunnerTimings {
  /** Steps counted. */
  readonly steps: number;
  /** Inside the device's library (ONNX Runtime). */
  readonly compute: number;
  /** Inside the expert kernel, where the library does not compute the experts. */
  readonly experts: number;
  /** Router calls, dispatch plan included. */
  readonly router: number;
  /** Everything else in the step: building inputs, KV bookkeeping. */
  readonly overhead: number;
}

/** Memory that a runner holds and needs, in bytes. */
export interface MemoryPlan {
  readonly weightBytes: number;
  /** KV bytes for each token of a sequence, all layers, while no window limits them. */
  readonly kvBytesPerToken: number;
  /** KV bytes of one sequence of `tokens` tokens, windows considered. */
  kvBytes(tokens: number): number;
}

/** Runs one model on one device. Not re-entrant: one step at a time. */
export interface ModelRunner extends AsyncDisposable {
  /** Such as 'onnxruntime-cpu'. */
  readonly name: string;
  readonly vocabularySize: number;
  /** The longest sequence, in tokens. */
  readonly contextLength: number;
  readonly memory: MemoryPlan;
  /** The router in use: its backend and device. */
  readonly router: { readonly backend: string; readonly device: string };
  /** Makes an empty sequence and returns its number. */
  createSequence(): number;
  /** Makes a sequence that starts as a copy of the first `length` tokens of another (prefix reuse); throws where the KV of those positions is gone. */
  forkSequence(sequence: number, length: number): number;
  /** Tokens in the sequence's KV cache. */
  length(sequence: number): number;
  /** Drops a sequence and its KV. */
  releaseSequence(sequence: number): void;
  /** One forward step for a batch of sequences, each at most once; outputs in the same order. */
  forward(batch: readonly SequenceStep[]): Promise<readonly SequenceOutput[]>;
  /** Called with every layer's routing of each step while set. */
  onRouting: ((routing: LayerRouting, batch: readonly SequenceStep[]) => void) | null;
  readonly timings: RunnerTimings;
  dispose(): Promise<void>;
}
