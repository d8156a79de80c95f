import { readFileSync } from 'node:fs';

/** What transformers computed in f32 for one prompt on the embedded checkpoint. */
export interface ReferencePrompt {
  readonly text: string;
  readonly ids: readonly number[];
  /** The greedy continuation. */
  readonly greedy: readonly number[];
  /** The ten best tokens at the prompt's last position. */
  readonly top_ids: readonly number[];
  readonly top_logits: readonly number[];
  /** Negative log-likelihood of the prompt, summed over all tokens but the first. */
  readonly prompt_nll: number;
  /** One entry a layer, over the prompt's tokens. */
  readonly routers: readonly {
    readonly experts: readonly (readonly number[])[];
    readonly weights: readonly (readonly number[])[];
  }[];
}

const file = new URL('../../../models/reference/pocket-dictionary.json', import.meta.url);
export const reference = JSON.parse(readFileSync(file, 'utf8')) as readonly ReferencePrompt[];

/** The index of the largest value, the first of several. */
export function argmax(values: Float32Array): number {
  let best = 0;
  for (let index = 1; index < values.length; index++) {
    if ((values[index] as number) > (values[best] as number)) {
      best = index;
    }
  }
  return best;
}

/** -log softmax(logits)[token]. */
export function surprise(logits: Float32Array, token: number): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (const value of logits) {
    largest = Math.max(largest, value);
  }
  let sum = 0;
  for (const value of logits) {
    sum += Math.exp(value - largest);
  }
  return largest + Math.log(sum) - (logits[token] as number);
}
