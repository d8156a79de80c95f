/** Compares what a gated router returned with the reference: the logits, and the routing of these logits. */

import type { ResolvedRouteArguments } from '../contract.ts';
import type { GatedRouterOutput, HiddenStates, ResolvedGatedRouterConfig } from '../gate/gate-contract.ts';
import { referenceLogits } from '../gate/gate-reference.ts';
import { compareOutput } from './compare-output.ts';
import type { Comparison } from './compare-output.ts';

/** What a comparison found. */
export interface GateComparison extends Comparison {
  /** Logits out of tolerance. */
  readonly mismatchedLogits: number;
  /** The largest error of a logit as a share of its rounding: 1 is the limit. */
  readonly worstLogitError: number;
}

const MOST_PROBLEMS = 4;

/**
 * Compares one call's output with the reference.
 *
 * @param hidden the input as it was before the call
 */
export function compareGatedOutput(
  config: ResolvedGatedRouterConfig,
  hidden: HiddenStates,
  call: ResolvedRouteArguments,
  output: GatedRouterOutput,
): GateComparison {
  const { experts } = config.router;
  const problems: string[] = [];
  let mismatchedLogits = 0;
  let worstLogitError = 0;
  const { routerLogits } = output;
  if (!(routerLogits instanceof Float32Array) || routerLogits.length !== call.tokens * experts) {
    const found = routerLogits === undefined ? 'absent' : `${routerLogits.constructor.name}(${routerLogits.length})`;
    const nothing = { rows: call.tokens, mismatchedIds: 0, mismatchedWeights: 0, worstWeightError: 0 };
    const wanted = `routerLogits is ${found} where Float32Array(${call.tokens * experts}) is due`;
    return { ...nothing, mismatchedLogits, worstLogitError, problems: [wanted] };
  }
  for (let token = 0; token < call.tokens; token++) {
    const { logits, rounding } = referenceLogits(config, hidden, token * call.rowStride);
    for (let expert = 0; expert < experts; expert++) {
      const found = routerLogits[token * experts + expert] ?? NaN;
      const share = shareOfRounding(found, logits[expert] ?? NaN, rounding[expert] ?? NaN);
      worstLogitError = Math.max(worstLogitError, share);
      if (share <= 1) continue;
      mismatchedLogits++;
      if (problems.length < MOST_PROBLEMS) {
        problems.push(
          `row ${token}: the logit of expert ${expert} is ${found} where the reference has ${logits[expert]}`,
        );
      }
    }
  }
  const routing = compareOutput(config.router, routerLogits, { ...call, rowStride: experts }, output);
  return { ...routing, mismatchedLogits, worstLogitError, problems: [...problems, ...routing.problems] };
}

/** Infinite where one of both is no finite number and the other is not the same. */
function shareOfRounding(found: number, wanted: number, rounding: number): number {
  if (Number.isNaN(wanted) || !Number.isFinite(wanted)) return Object.is(found, wanted) ? 0 : Infinity;
  const share = Math.abs(found - wanted) / rounding;
  return Number.isNaN(share) ? Infinity : share;
}

/** What differs between rows of two outputs whose hidden states are the same, in words; empty where nothing does. */
export function prefixProblems(whole: GatedRouterOutput, prefix: GatedRouterOutput): string[] {
  const problems: string[] = [];
  const compare = (name: string, all: ArrayBufferView, few: ArrayBufferView): void => {
    const bytes = new Uint8Array(few.buffer, few.byteOffset, few.byteLength);
    const others = new Uint8Array(all.buffer, all.byteOffset, few.byteLength);
    const at = bytes.findIndex((byte, i) => byte !== others[i]);
    if (at === -1) return;
    const row = Math.floor((at / few.byteLength) * prefix.tokens);
    problems.push(`row ${row} of ${prefix.tokens} has other ${name} than among ${whole.tokens}`);
  };
  compare('logits', whole.routerLogits, prefix.routerLogits);
  compare('ids', whole.ids, prefix.ids);
  compare('weights', whole.weights, prefix.weights);
  return problems;
}

/** What differs between logits of experts that have the same weights, in words; empty where nothing does. */
export function periodProblems({ routerLogits }: GatedRouterOutput, experts: number, period: number): string[] {
  const bits = new Uint32Array(routerLogits.buffer, routerLogits.byteOffset, routerLogits.length);
  for (let row = 0; row < bits.length; row += experts) {
    for (let expert = period; expert < experts; expert++) {
      if (bits[row + expert] === bits[row + (expert % period)]) continue;
      return [`row ${row / experts}: experts ${expert % period} and ${expert} have equal weights and other logits`];
    }
  }
  return [];
}
