/**
 * The order of launches that choose tokens from the logits of a head. Nothing here waits.
 */

import type { StreamLike } from '@switchyard/gpu';
import type { HipKernels } from './kernels.ts';
import { LARGEST_BLOCKS } from './sizes.ts';
import { hasAdjustments } from './step-adjustments.ts';
import type { StepRow } from './step-block.ts';
import type { Workspace } from './workspace.ts';

/** What the choice of some rows takes beside the largest logit of each. */
export interface ChoiceNeeds {
  /** Whether a row's token is drawn. */
  readonly draws: boolean;
  /** Whether something changes a row's logits first: penalties, biases or a mask. */
  readonly adjusts: boolean;
}

/** Which of a pass's wanted rows: `first` to `first + count` - 1, at most HEAD_ROWS. */
export interface HeadRows extends ChoiceNeeds {
  readonly first: number;
  readonly count: number;
  /** The place of the first one's token among the tokens that were chosen. Defaults to 0. */
  readonly place?: number;
}

/** What the launches run with. */
interface ChoiceParts {
  readonly kernels: Pick<HipKernels, 'adjustLogits' | 'maskLogits' | 'chooseLargest' | 'drawTokens'>;
  readonly workspace: Workspace;
  /** Ids that have a token, from 0 up: no other is chosen. */
  readonly candidates: number;
}

/** What the choice of a pass's tokens takes. */
export function choiceNeedsOf(rows: readonly StepRow[]): ChoiceNeeds {
  return { draws: rows.some(({ draw }) => draw !== undefined), adjusts: hasAdjustments(rows) };
}

/** Tokens of wanted rows, whose logits are in the workspace. Rows that want those themselves keep them as they are. */
export function enqueueChoice(
  { kernels, workspace, candidates }: ChoiceParts,
  stream: StreamLike,
  rows: HeadRows,
): void {
  const { first, count, draws, adjusts, place = 0 } = rows;
  const { step, chosen, logits, found, choiceArrivals: arrivals } = workspace.at;
  const changed = { step, logits, candidates, first };
  if (adjusts) {
    kernels.adjustLogits.launch(stream, count, { ...changed, chosen });
    kernels.maskLogits.launch(stream, count * LARGEST_BLOCKS, changed);
  }
  const choice = { step, logits, found, arrivals, tokens: chosen + BigInt(4 * place), candidates, first };
  kernels.chooseLargest.launch(stream, count * LARGEST_BLOCKS, choice);
  if (draws) kernels.drawTokens.launch(stream, count * LARGEST_BLOCKS, choice);
}
