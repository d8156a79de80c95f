/**
 * A runner that computes logits in host memory, one step at a time: the form in which runners on the CPU are written.
 * sampled-on-host.ts makes a ModelRunner of it.
 */

import type { LogitAdjustments } from '../sampling/adjusted-tokens.ts';
import type { TokenDraw } from '../sampling/token-draw.ts';
import type { TokenMask } from '../sampling/token-mask.ts';
import type { LayerRouting, MemoryPlan, RunnerTimings } from './runner.ts';

/**
 * Which of a step's positions get logits: none (prefill that goes on), the last one, or all. `'largest'` asks for the token
 * of the last one's largest logit alone, `'drawn'` for the one that `LogitsStep.draw` says, so that no row of logits leaves
 * the device; see `LogitsRunner.choosesTokens`.
 */
export type LogitsWanted = 'none' | 'last' | 'all' | 'largest' | 'drawn';

/** One sequence's part of a forward step. */
export interface LogitsStep {
  /** A sequence made by this runner. */
  readonly sequence: number;
  /** The tokens to append, at least one. They stand at positions `length(sequence)` and up. */
  readonly tokens: Int32Array;
  /** Defaults to `'last'`. */
  readonly logits?: LogitsWanted;
  /** With `'drawn'`: how. */
  readonly draw?: TokenDraw;
  /** With `'largest'` and `'drawn'`: what changes the logits first. See `LogitsRunner.mostAdjustedTokens`. */
  readonly adjustments?: LogitAdjustments;
  /** With `'largest'` and `'drawn'`: the tokens that may be chosen, once the logits are adjusted. */
  readonly mask?: TokenMask;
  /** See SequenceStep. */
  readonly piece?: number;
}

/** The token that the runner chose for a sequence in the step before, which may still be under way. */
export interface ChosenToken {
  readonly chosenFor: number;
}

/** One sequence's part of a step that is started. */
export interface StartedPart extends Omit<LogitsStep, 'tokens'> {
  readonly tokens: Int32Array | ChosenToken;
}

/** A step that a runner has taken. */
export interface StartedStep {
  /** In the order of the batch, after those of the steps started before. */
  readonly outputs: Promise<readonly LogitsOutput[]>;
}

/** What a forward step gives back for one sequence. */
export interface LogitsOutput {
  /** f32, rows * vocabularySize: 0 rows for 'none', 'largest' and 'drawn', 1 for 'last', tokens.length for 'all'. */
  readonly logits: Float32Array;
  /**
   * For 'largest': the lowest id of those whose logit is largest, among the tokens that there are; for 'drawn': the drawn
   * one. -1 where no logit is a number. Where a mask leaves nothing above -Infinity, it may be a token that the mask forbids.
   */
  readonly token?: number;
}

/** Runs one model in host memory. Not re-entrant: one step at a time. */
export interface LogitsRunner extends AsyncDisposable {
  /** Such as 'onnxruntime-cpu'. */
  readonly name: string;
  readonly vocabularySize: number;
  /** The longest sequence, in tokens. */
  readonly contextLength: number;
  readonly memory: MemoryPlan;
  /** The router in use: its backend and device. */
  readonly router: { readonly backend: string; readonly device: string };
  /** Whether `forward` takes `'largest'` and `'drawn'`, or `'largest'` alone. Defaults to false. */
  readonly choosesTokens?: boolean | 'largest';
  /**
   * Where it takes both: the most tokens that a row's adjustments may have, and masks as well. Rows of more have their logits
   * brought up. Defaults to none: neither adjustments nor masks are taken.
   */
  readonly mostAdjustedTokens?: number;
  /** See ModelRunner. */
  piecesTogether?(tokens: number): number;
  /** See ModelRunner. */
  partOfPiece?(tokens: number): number;
  /** Time of the forward steps. */
  readonly timings: Omit<RunnerTimings, 'sampling'>;
  /** Called with every layer's routing of each step while set. The arrays are the runner's: what is to stay is copied. */
  onRouting: ((routing: LayerRouting, batch: readonly LogitsStep[]) => void) | null;
  createSequence(): number;
  /** Makes a sequence that starts as a copy of the first `length` tokens of another; null where their KV is gone. */
  forkSequence(sequence: number, length: number): number | null;
  /** Cuts a sequence back to its first `length` tokens; false, with nothing changed, where their KV is gone. */
  truncate(sequence: number, length: number): boolean;
  /** Drops a sequence and its KV. */
  releaseSequence(sequence: number): void;
  /** Tokens in the sequence's KV cache. */
  length(sequence: number): number;
  /** One forward step for a batch of sequences, each at most once; outputs in the same order. A failure changes nothing. */
  forward(batch: readonly LogitsStep[]): Promise<readonly LogitsOutput[]>;
  /**
   * Takes a step while one before it may still be under way, at most two in all: resolves when the device has it, and
   * rejects, with nothing changed, where it never will. Other sequences may be made, cut and dropped meanwhile. Not there
   * where a step occupies the caller's own thread.
   */
  start?(batch: readonly StartedPart[]): Promise<StartedStep>;
  dispose(): Promise<void>;
}
