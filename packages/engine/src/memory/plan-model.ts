/**
 * What a checkpoint takes in memory, held against what it may take. Reads headers only, and imports no runner's library.
 *
 * @module
 */
import { basename } from 'node:path';
import type { GptOssConfig, Snapshot } from '@switchyard/models';
import type { ExpertPrecision } from '../runners/runner-module.ts';
import type { LoadPlan } from '../runners/load-plan.ts';
import { KvCache } from '../runners/ort/kv-cache.ts';
import { planOrtMemory } from '../runners/ort/plan-memory.ts';
import type { SchedulerLimits } from '../scheduler/limits.ts';
import { checkFit, type KvDemand, type MemoryAllowance, unplannedKvBytes } from './load-budget.ts';

/** What changes a plan. */
export interface PlanOptions {
  readonly expertPrecision: ExpertPrecision;
  readonly limits: Pick<SchedulerLimits, 'maxSequences' | 'prefillChunk' | 'maxCachedPrefixes'>;
  /** The caller's choice; undefined for what is left. */
  readonly kvCacheBytes: number | undefined;
}

const PRECISIONS: readonly ExpertPrecision[] = ['exact', 'int4'];

/** The runner's plans for every precision, the one asked for first. */
export function plansOf(config: GptOssConfig, { expertPrecision, limits }: PlanOptions): [LoadPlan, ...LoadPlan[]] {
  const { maxSequences, prefillChunk } = limits;
  const plan = (precision: ExpertPrecision): LoadPlan =>
    planOrtMemory(config, { expertPrecision: precision, maxSequences, prefillChunk });
  return [plan(expertPrecision), ...PRECISIONS.filter((precision) => precision !== expertPrecision).map(plan)];
}

/** KV bytes of one sequence by its tokens. */
export function kvBytesOf(config: GptOssConfig): (tokens: number) => number {
  const { layerTypes, keyValueHeads, headDim, slidingWindow } = config;
  const cache = new KvCache({ layerTypes, keyValueHeads, headDim, window: slidingWindow });
  return (tokens) => cache.bytes(tokens);
}

/** The KV memory that is wanted, and the most that is of use. */
export function kvDemandOf(config: GptOssConfig, { limits, kvCacheBytes }: PlanOptions): KvDemand {
  const sequences = limits.maxSequences + limits.maxCachedPrefixes;
  return { kvCacheBytes, mostUsefulBytes: sequences * kvBytesOf(config)(config.contextLength) };
}

/**
 * The KV budget for a checkpoint.
 *
 * @throws InsufficientMemoryError where the model does not fit. A runner without a plan is not judged.
 */
export function planKvBytes(
  { config, path }: Pick<Snapshot, 'config' | 'path'>,
  allowance: MemoryAllowance,
  options: PlanOptions & { readonly hasPlan: boolean },
): number {
  if (!options.hasPlan) return options.kvCacheBytes ?? unplannedKvBytes(allowance);
  const demand = kvDemandOf(config, options);
  return checkFit(basename(path), plansOf(config, options), allowance, demand).kvBudgetBytes;
}
