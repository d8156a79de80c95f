/**
 * The text of the WGSL kernels: parts under kernels/, joined in an order written as data, as the HIP kernels are. WGSL
 * does not care in which order declarations come; each part stands behind those that it is easier to read after.
 */

import type { TemplatePart } from '@switchyard/gpu/webgpu';
import { DISPATCH_PLAN_WGSL } from '../wgsl/dispatch-plan.ts';
import { EXPERT_TILES_WGSL } from '../wgsl/expert-tiles.ts';
import { GATE_PROJECTION_WGSL } from '../wgsl/gate-projection.ts';
import { BINDINGS_WGSL } from '../wgsl/parts/bindings.ts';
import { CHECKED_KEYS_WGSL } from '../wgsl/parts/checked-keys.ts';
import { CHUNKS_WGSL } from '../wgsl/parts/chunks.ts';
import { CONSTANTS_WGSL } from '../wgsl/parts/constants.ts';
import { EXPERT_GROUPS_WGSL } from '../wgsl/parts/expert-groups.ts';
import { GATE_SUMS_WGSL } from '../wgsl/parts/gate-sums.ts';
import { HAND_OVER_LOGITS_WGSL } from '../wgsl/parts/hand-over-logits.ts';
import { KEYS_WGSL } from '../wgsl/parts/keys.ts';
import { LANE_EXCHANGE_WGSL } from '../wgsl/parts/lane-exchange.ts';
import { LANE_MEMORY_WGSL } from '../wgsl/parts/lane-memory.ts';
import { ORDERS_WGSL } from '../wgsl/parts/orders.ts';
import { PLAN_OF_FEW_WGSL } from '../wgsl/parts/plan-of-few.ts';
import { ROW_SUMS_WGSL } from '../wgsl/parts/row-sums.ts';
import { ROWS_WGSL } from '../wgsl/parts/rows.ts';
import { SCORES_WGSL } from '../wgsl/parts/scores.ts';
import { CHOICE_SCORES_WGSL } from '../wgsl/parts/steps/choice-scores.ts';
import { DROPPED_SLOTS_WGSL } from '../wgsl/parts/steps/dropped-slots.ts';
import { PLANNED_SLOTS_WGSL } from '../wgsl/parts/steps/planned-slots.ts';
import { SCORE_WEIGHTS_WGSL } from '../wgsl/parts/steps/score-weights.ts';
import { SOFTMAX_WEIGHTS_WGSL } from '../wgsl/parts/steps/softmax-weights.ts';
import { WINNERS_WGSL } from '../wgsl/parts/steps/winners.ts';
import { UNCHECKED_KEYS_WGSL } from '../wgsl/parts/unchecked-keys.ts';
import { TOPK_GATING_SOFTMAX_WGSL } from '../wgsl/topk-gating-softmax.ts';
import type { RouterFlag } from './router-values.ts';

/** A part, and the flag without which it is left out. */
export interface ConditionalPart {
  readonly part: TemplatePart;
  /** A flag of the template, as in `#if`. Defaults to always. */
  readonly when?: RouterFlag;
}

/** The declarations of the routing kernel. */
export const ROUTER_PARTS: readonly ConditionalPart[] = [
  { part: BINDINGS_WGSL },
  { part: CONSTANTS_WGSL },
  { part: KEYS_WGSL },
  { part: LANE_MEMORY_WGSL },
  { part: ORDERS_WGSL },
  { part: ROWS_WGSL },
  { part: UNCHECKED_KEYS_WGSL, when: 'UNCHECKED_KEYS' },
  { part: CHUNKS_WGSL, when: 'SEARCHES_CHUNKS' },
  { part: CHECKED_KEYS_WGSL },
  { part: LANE_EXCHANGE_WGSL, when: 'LANE_SUMS' },
  { part: ROW_SUMS_WGSL, when: 'ROW_SUM' },
  { part: EXPERT_GROUPS_WGSL, when: 'RANKS_BY_CHOICE' },
  { part: GATE_SUMS_WGSL, when: 'GATED' },
  { part: HAND_OVER_LOGITS_WGSL, when: 'GATED' },
  { part: PLAN_OF_FEW_WGSL, when: 'PLAN' },
  { part: TOPK_GATING_SOFTMAX_WGSL },
  { part: SCORES_WGSL },
];

/** The statements of `route` that have a file of their own, by the texts that stand for them in it. */
export const ROUTER_STEPS: Readonly<Record<string, readonly ConditionalPart[]>> = {
  STEP_CHOICE_SCORES: [{ part: CHOICE_SCORES_WGSL, when: 'RANKS_BY_CHOICE' }],
  STEP_WINNERS: [{ part: WINNERS_WGSL }],
  STEP_WEIGHTS: [
    { part: SOFTMAX_WEIGHTS_WGSL, when: 'SOFTMAX' },
    { part: SCORE_WEIGHTS_WGSL, when: 'SCORES' },
  ],
  STEP_DROPPED_SLOTS: [{ part: DROPPED_SLOTS_WGSL }],
  STEP_PLAN: [{ part: PLANNED_SLOTS_WGSL, when: 'PLAN' }],
};

/** The kernels of the dispatch plan. */
export const PLAN_PARTS: readonly TemplatePart[] = [DISPATCH_PLAN_WGSL];

/** The kernel that lists a plan's row tiles. */
export const TILES_PARTS: readonly TemplatePart[] = [EXPERT_TILES_WGSL];

/** The gate projection by itself. */
export const GATE_PARTS: readonly TemplatePart[] = [GATE_SUMS_WGSL, GATE_PROJECTION_WGSL];
