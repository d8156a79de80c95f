/**
 * What a checkpoint takes in memory, held against what it may take. Reads headers only, and imports no runner's library.
 */

import { basename } from 'node:path';
import type { GptOssConfig, Snapshot } from '@switchyard/models';
import type { Activations, ExpertPrecision } from '../runners/runner-module.ts';
import type { LoadPlan } from '../runners/load-plan.ts';
import type { RunnerEntry } from '../runners/runner-entry.ts';
import type { SchedulerLimits } from '../scheduler/limits.ts';
import { checkFit, type KvDemand, type MemoryAllowance } from './load-budget.ts';

/** What changes a plan. */
export interface PlanOptions {
  /** The runner that the model would be loaded into. */
  readonly runner: RunnerEntry;
  readonly expertPrecision: ExpertPrecision;
  readonly activations: Activations;
  readonly limits: Pick<SchedulerLimits, 'maxSequences' | 'prefillChunk' | 'maxCachedPrefixes'>;
  /** The caller's choice; undefined for what is left. */
  readonly kvCacheBytes: number | undefined;
}

/** The runner's plans for every precision that it has, the one asked for first. */
export function plansOf(
  config: GptOssConfig,
  { runner, expertPrecision, activations, limits }: PlanOptions,
): [LoadPlan, ...LoadPlan[]] {
  const { maxSequences, prefillChunk } = limits;
  const plan = (precision: ExpertPrecision): LoadPlan =>
    runner.planMemory(config, { expertPrecision: precision, activations, maxSequences, prefillChunk });
  return [plan(expertPrecision), ...runner.precisions.filter((precision) => precision !== expertPrecision).map(plan)];
}

/** The KV memory that is wanted, and the most that is of use. */
export function kvDemandOf(config: GptOssConfig, { runner, activations, limits, kvCacheBytes }: PlanOptions): KvDemand {
  const sequences = limits.maxSequences + limits.maxCachedPrefixes;
  return { kvCacheBytes, mostUsefulBytes: sequences * runner.kvBytes(config, activations)(config.contextLength) };
}

/**
 * The KV budget for a checkpoint.
 *
 * @throws InsufficientMemoryError where the model does not fit
 */
export function planKvBytes(
  { config, path }: Pick<Snapshot, 'config' | 'path'>,
  allowance: MemoryAllowance,
  options: PlanOptions,
): number {
  return checkFit(basename(path), plansOf(config, options), allowance, kvDemandOf(config, options)).kvBudgetBytes;
}
