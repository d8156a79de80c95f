/** How far logits are from those of the model in f64. */

import { type GptOssConfig, type GptOssWeights, type Snapshot, rowsOf } from '@switchyard/models';
import { forward } from '../../src/reference/forward.ts';
import type { LogitsRunner } from '../../src/runners/logits-runner.ts';

/** Logits that are compared, of the tokens from 0 on: the reference takes seconds for each thousand of a large model. */
const COMPARED = 8192;

/** Of the last position of a prompt. */
export interface LogitError {
  /** Root mean square of the differences, as a part of the logits' own. */
  readonly rms: number;
  /** Whether the largest logit is the same one. */
  readonly sameLargest: boolean;
}

/** f64: the logits after a prompt of the first tokens there are. */
export function referenceLogits({ config, weights }: Pick<Snapshot, 'config' | 'weights'>, ids: readonly number[]) {
  const compared = Math.min(COMPARED, config.vocabularySize);
  const some: GptOssWeights = { ...weights, lmHead: rowsOf(weights.lmHead, 0, compared, 'compared') };
  const own: GptOssConfig = { ...config, vocabularySize: compared };
  return forward({ config: own, weights: some }, ids).logits.slice(-compared);
}

/** f32 [vocabulary]: what a runner computes, its last token as a part of the prompt or as a step of decoding. */
export async function runnerLogits(runner: LogitsRunner, ids: readonly number[], lastAlone: boolean) {
  const sequence = runner.createSequence();
  const cut = lastAlone ? ids.length - 1 : 0;
  if (lastAlone) await runner.forward([{ sequence, tokens: Int32Array.from(ids.slice(0, cut)), logits: 'none' }]);
  const [output] = await runner.forward([{ sequence, tokens: Int32Array.from(ids.slice(cut)) }]);
  runner.releaseSequence(sequence);
  return output?.logits ?? new Float32Array(0);
}

/** The error of what was computed, which has as many logits as the reference or more. */
export function logitError(computed: Float32Array, reference: Float64Array): LogitError {
  let [error, size] = [0, 0];
  for (const [id, expected] of reference.entries()) {
    error += ((computed[id] ?? Number.NaN) - expected) ** 2;
    size += expected ** 2;
  }
  return {
    rms: Math.sqrt(error / size),
    sameLargest: largest(computed.subarray(0, reference.length)) === largest(reference),
  };
}

function largest(values: Float32Array | Float64Array): number {
  let best = 0;
  for (const [index, value] of values.entries()) if (value > (values[best] ?? 0)) best = index;
  return best;
}
