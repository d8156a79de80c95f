import type { GptOssConfig } from '@switchyard/models';
import type { ExpertForm } from './expert-form.ts';

/** Experts `first` to `end` - 1 of a layer. */
export interface ExpertRange {
  readonly first: number;
  readonly end: number;
}

/** How a layer's experts are divided among sessions. */
export interface ExpertDivision {
  readonly ranges: readonly ExpertRange[];
  /** Bytes of converted weights in the largest session. */
  readonly sessionBytes: number;
  /** Whether the sessions are made from a template, so that no weight is held twice. */
  readonly usesTemplates: boolean;
}

/** Bounds of a division. */
export interface DivisionBounds {
  /** Most bytes of weights in a session. Defaults to 256 MiB. */
  readonly mostSessionBytes?: number;
  /** From these bytes of weights a session on, templates are used. Defaults to 16 MiB. */
  readonly leastTemplateBytes?: number;
}

/** Most bytes of weights in a session: one is made in one go, which nothing can interrupt, in about a second. */
export const MOST_SESSION_BYTES = 2 ** 28;
const LEAST_TEMPLATE_BYTES = 2 ** 24;
/** A template is a flatbuffer, which ends at 2 GiB. */
const MOST_TEMPLATE_BYTES = 2 ** 31 - 2 ** 26;

/** Bytes a weight as the checkpoint's are converted, by the form. */
const WEIGHT_BYTES: Readonly<Record<ExpertForm, number>> = { f32: 4, blocks8: 1 + 4 / 32, blocks4: 0.5 + 4 / 32 };

/** Divides the experts of every layer into ranges of nearly equal size. */
export function divideExperts(
  { experts, hiddenSize, intermediateSize }: Pick<GptOssConfig, 'experts' | 'hiddenSize' | 'intermediateSize'>,
  form: ExpertForm,
  { mostSessionBytes = MOST_SESSION_BYTES, leastTemplateBytes = LEAST_TEMPLATE_BYTES }: DivisionBounds = {},
): ExpertDivision {
  const expertBytes = 3 * hiddenSize * intermediateSize * WEIGHT_BYTES[form];
  const most = Math.max(1, Math.floor(mostSessionBytes / expertBytes));
  const size = Math.ceil(experts / Math.ceil(experts / most));
  const ranges = Array.from({ length: Math.ceil(experts / size) }, (_, index) => ({
    first: index * size,
    end: Math.min((index + 1) * size, experts),
  }));
  const sessionBytes = size * expertBytes;
  const isLarge = sessionBytes >= leastTemplateBytes && sessionBytes < MOST_TEMPLATE_BYTES;
  return { ranges, sessionBytes, usesTemplates: form !== 'f32' && isLarge };
}
