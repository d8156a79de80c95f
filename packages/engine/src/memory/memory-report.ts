/**
 * What loading a checkpoint would take in every precision.
 */

import type { GptOssConfig } from '@switchyard/models';
import type { LoadPlan } from '../runners/load-plan.ts';
import { KvBudget, type KvPlan } from '../scheduler/kv-budget.ts';
import { budgetOf, type MemoryAllowance } from './load-budget.ts';
import { kvDemandOf, type PlanOptions, plansOf } from './plan-model.ts';
import type { ProcessMemory } from './process-memory.ts';

/** One precision: the runner's plan, held against what the model may take. */
export interface PrecisionReport extends LoadPlan {
  /** Weights, and the larger of what loading needs beside them and what workspace and the smallest KV cache do. */
  readonly requiredBytes: number;
  readonly fits: boolean;
  /** What the KV cache would hold; null where the model does not fit. */
  readonly kv: KvPlan | null;
}

/** The KV plan of the precision asked for (all zero where it does not fit), and what it was made from. */
export interface MemoryReport extends KvPlan {
  readonly runner: string;
  /** Null where the system did not say. */
  readonly process: ProcessMemory | null;
  /** Left to JavaScript, the tokenizer, requests and the rest of the machine. */
  readonly reserveBytes: number;
  /** What the model may take; null where neither system nor caller says. */
  readonly limitBytes: number | null;
  /** `exact`, then `int4`: those that the runner has. */
  readonly precisions: readonly PrecisionReport[];
}

export function inspectMemory(config: GptOssConfig, allowance: MemoryAllowance, options: PlanOptions): MemoryReport {
  const plans = plansOf(config, options);
  const demand = kvDemandOf(config, options);
  const kvBytes = options.runner.kvBytes(config, options.activations);
  const kvPlan = ({ weightBytes, kvBytesPerToken }: LoadPlan, budgetBytes: number): KvPlan =>
    new KvBudget({ weightBytes, kvBytesPerToken, kvBytes }, budgetBytes, config.contextLength).plan;
  const report = (plan: LoadPlan): PrecisionReport => {
    const { requiredBytes, fits, kvBudgetBytes } = budgetOf(plan, allowance, demand);
    return { ...plan, requiredBytes, fits, kv: fits ? kvPlan(plan, kvBudgetBytes) : null };
  };
  const [asked, ...others] = plans;
  const askedReport = report(asked);
  const precisions = [askedReport, ...others.map(report)].sort((a, b) => a.precision.localeCompare(b.precision));
  const { process, reserveBytes, limitBytes } = allowance;
  return {
    ...(askedReport.kv ?? kvPlan(asked, 0)),
    runner: asked.runner,
    process,
    reserveBytes,
    limitBytes: Number.isFinite(limitBytes) ? limitBytes : null,
    precisions,
  };
}
