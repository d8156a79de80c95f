/**
 * What every runner of logits checks of a step before it computes anything, and what it collects results in.
 */

import { ContextLengthError } from '../errors.ts';
import { InvalidStepError } from './errors.ts';
import type { LogitsRunner, LogitsStep } from './logits-runner.ts';
import type { LayerRouting } from './runner.ts';

/**
 * Throws where a runner cannot compute a step.
 *
 * @throws InvalidStepError, ContextLengthError; what `length` throws, as UnknownSequenceError
 */
export function checkStep(
  batch: readonly LogitsStep[],
  runner: Pick<LogitsRunner, 'vocabularySize' | 'contextLength' | 'length'>,
): void {
  const { vocabularySize, contextLength } = runner;
  const seen = new Set<number>();
  for (const { sequence, tokens, logits, draw, piece = tokens.length } of batch) {
    const length = runner.length(sequence) + tokens.length;
    if (seen.has(sequence)) {
      throw new InvalidStepError(`sequence ${sequence} twice`, 'give each sequence at most once in a step');
    }
    seen.add(sequence);
    if (logits === 'drawn' && draw === undefined) {
      throw new InvalidStepError(`'drawn' for sequence ${sequence} without a draw`, 'say how it is drawn');
    }
    if (tokens.length === 0) throw new InvalidStepError(`no tokens for sequence ${sequence}`, 'give at least one');
    if (!(piece >= tokens.length)) {
      const found = `${tokens.length} tokens of a piece of ${piece} for sequence ${sequence}`;
      throw new InvalidStepError(found, 'give a piece of as many at least');
    }
    if (length > contextLength) throw new ContextLengthError(length, contextLength, 'context');
    const wrong = tokens.find((token) => token < 0 || token >= vocabularySize);
    if (wrong !== undefined) throw new InvalidStepError(`token ${wrong}`, `give ids from 0 to ${vocabularySize - 1}`);
  }
}

/** Throws InvalidStepError where a sequence of `whole` tokens cannot be cut or copied at `length`. */
export function checkCut(length: number, whole: number): void {
  if (Number.isInteger(length) && length >= 0 && length <= whole) return;
  throw new InvalidStepError(`a cut at ${length} of a sequence of ${whole} tokens`, `give a length from 0 to ${whole}`);
}

const NO_LOGITS = new Float32Array(0);

/** Room for the logits that are wanted of each entry of a step: f32 [rows, vocabularySize]. */
export function emptyLogits(batch: readonly LogitsStep[], vocabularySize: number): Float32Array[] {
  return batch.map(({ tokens, logits = 'last' }) => {
    const rows = logits === 'all' ? tokens.length : logits === 'last' ? 1 : 0;
    return rows === 0 ? NO_LOGITS : new Float32Array(rows * vocabularySize);
  });
}

/**
 * Room for what the routers of every layer choose for a step's tokens.
 *
 * @param spare of a step before, which nobody reads any more: taken where it is as large.
 */
export function emptyRoutings(
  batch: readonly LogitsStep[],
  layers: number,
  topK: number,
  spare: readonly LayerRouting[] = [],
): readonly LayerRouting[] {
  const slots = batch.reduce((sum, { tokens }) => sum + tokens.length, 0) * topK;
  if (spare.length === layers && spare[0]?.ids.length === slots) return spare;
  return Array.from({ length: layers }, (_, layer) => ({
    layer,
    ids: new Int32Array(slots),
    weights: new Float32Array(slots),
  }));
}
