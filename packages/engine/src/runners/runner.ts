/**
 * The border between what every device shares (scheduler, prompts, answers, server) and one device's business.
 *
 * Above it nobody knows where activations, weights or the KV cache live; below it nobody knows of text or requests. Whoever
 * chooses tokens is the runner's business too: a step goes down as some kilobytes, and token ids come up.
 */

import type { RawLogprobs } from '../sampling/logprobs.ts';
import type { SamplingParameters } from '../sampling/parameters.ts';
import type { TokenMask } from '../sampling/token-mask.ts';

/** The ids and weights that one MoE layer's router chose in one step, rows in the step's token order. */
export interface LayerRouting {
  /** Layer index from 0. */
  readonly layer: number;
  /** i32 [T, K]. */
  readonly ids: Int32Array;
  /** f32 [T, K]. */
  readonly weights: Float32Array;
}

/** Slots that each expert got since the runner was made. */
export interface ExpertLoad {
  readonly layers: number;
  readonly experts: number;
  /** f64 [layers, experts]. */
  readonly counts: Float64Array;
}

/**
 * What is wanted of a step's positions: nothing (prefill that goes on), the token that comes after the last, the last one's
 * logits, or those of all. Logits are whole rows of the vocabulary: they leave the device only where they are asked for.
 */
export type Wanted = 'none' | 'token' | 'last' | 'all';

/** One sequence's part of a step. */
export interface SequenceStep {
  /** A sequence made by this runner. */
  readonly sequence: number;
  /**
   * The tokens to append, at least one: they stand at the sequence's next positions. `'sampled'` is the one token that the
   * sampler chose in the last step that wanted one, which may still be under way.
   */
  readonly tokens: Int32Array | 'sampled';
  readonly want: Wanted;
  /**
   * Tokens of the piece of a prompt that these are a part of: they are computed as they would be with the others of it, to the
   * bit. At least as many as there are tokens. Defaults to that; see `ModelRunner.partOfPiece`.
   */
  readonly piece?: number;
  /** Made by `openSampler`. Needed for `'token'` and for `'sampled'`. */
  readonly sampler?: number;
  /** Which tokens may be chosen, at least one. Defaults to all. */
  readonly mask?: TokenMask;
  /** With `'token'`: also tell the chosen token's log-probability and those of this many of the likeliest, 0 and up. */
  readonly logprobs?: number;
  /** i32, one for each token of the step: tell the log-probability of that token coming after it. */
  readonly targets?: Int32Array;
  /** Tell the ids and weights that the routers chose for these tokens. Defaults to false. */
  readonly traceRouting?: boolean;
}

/** What a step gives back for one sequence. */
export interface SequenceOutput {
  /** The token chosen; -1 where none was wanted, or where this sequence failed. */
  readonly token: number;
  /** f32, rows * vocabulary: one row for `'last'`, one for each token for `'all'`, otherwise none. */
  readonly logits: Float32Array;
  /** Where `SequenceStep.logprobs` asks for it. */
  readonly logprobs?: RawLogprobs;
  /** f64, one for each target. */
  readonly targetLogprobs?: Float64Array;
  /** One entry a layer, where `traceRouting` asks for it. */
  readonly routing?: readonly LayerRouting[];
  /** Why this sequence has no result where others of the step have: logits that are no numbers, a mask without a token. */
  readonly failure?: Error;
}

/** A step that was handed over. */
export interface SubmittedStep {
  /**
   * In the order of the batch. Rejects where the whole step fails; then every sequence of it, and of the steps submitted
   * after it, is as it was before.
   */
  readonly outputs: Promise<readonly SequenceOutput[]>;
}

/** Where the time of the steps so far went, in milliseconds. */
export interface RunnerTimings {
  /** Steps counted. */
  readonly steps: number;
  /** Computing the model, but for what is told apart below. */
  readonly compute: number;
  /** The experts, where the runner can tell them from the rest. */
  readonly experts: number;
  /** The router and the dispatch plan. */
  readonly router: number;
  /** Choosing tokens. */
  readonly sampling: number;
  /** Everything else in a step: building inputs, KV bookkeeping, waiting for the device. */
  readonly overhead: number;
}

/** Memory that a runner holds and needs on its device, in bytes. */
export interface MemoryPlan {
  readonly weightBytes: number;
  /** KV bytes for each token of a sequence, all layers, while no window limits them. */
  readonly kvBytesPerToken: number;
  /** KV bytes of one sequence of `tokens` tokens, windows considered. */
  kvBytes(tokens: number): number;
}

/** The most steps that may be under way at once. */
export const MOST_STEPS_UNDER_WAY = 2;

/**
 * Runs one model on one device. Calls that change a sequence throw RunnerBusyError while a step that has it is under way;
 * others may be made at any time.
 */
export interface ModelRunner extends AsyncDisposable {
  /** Such as 'onnxruntime-cpu'. */
  readonly name: string;
  readonly vocabularySize: number;
  /** The longest sequence, in tokens. */
  readonly contextLength: number;
  readonly memory: MemoryPlan;
  /** The router in use: its backend and device. */
  readonly router: { readonly backend: string; readonly device: string };
  /** Whether a step is better submitted before the one before it is done: not where both take the caller's own thread. */
  readonly overlapsSteps: boolean;
  /**
   * How many neighbouring pieces of a prompt, of so many tokens each, a step may take as one that changes no bit of any row.
   * Defaults to 1: sums round otherwise where a prompt is cut otherwise.
   */
  piecesTogether?(tokens: number): number;
  /**
   * The most tokens of a piece of so many that a step should take where others wait for their next token in it: see
   * `SequenceStep.piece`. Defaults to any number.
   */
  partOfPiece?(tokens: number): number;
  readonly timings: RunnerTimings;
  readonly expertLoad: ExpertLoad;
  /** Called with every layer's routing of each step while set. On a device, routing leaves it only then. */
  onRouting: ((routing: LayerRouting) => void) | null;

  /** Makes an empty sequence and returns its number. */
  createSequence(): number;
  /** Makes a sequence that starts as a copy of the first `length` tokens of another; null where their KV is gone. */
  forkSequence(sequence: number, length: number): number | null;
  /** Cuts a sequence back to its first `length` tokens; false, with nothing changed, where their KV is gone. */
  truncate(sequence: number, length: number): boolean;
  /** Drops a sequence and its KV. */
  releaseSequence(sequence: number): void;
  /** Tokens in the sequence's KV cache. */
  length(sequence: number): number;

  /**
   * Makes a sampler for one answer and returns its number.
   *
   * @param prompt the prompt's token ids, which penalties may count.
   * @param answer the tokens chosen so far, where it goes on with an answer that another sampler has begun. Defaults to none.
   */
  openSampler(parameters: SamplingParameters, prompt: Int32Array, answer?: readonly number[]): number;
  closeSampler(sampler: number): void;

  /**
   * Starts a step for a batch of sequences, each at most once. A second step may be submitted before the first is done;
   * it begins with what the first leaves.
   *
   * @throws RunnerBusyError where two are under way
   */
  submit(batch: readonly SequenceStep[]): SubmittedStep;
  dispose(): Promise<void>;
}
