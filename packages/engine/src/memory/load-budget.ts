/**
 * Whether a model fits the memory that it may take, and what that leaves for the KV cache.
 */

import { InsufficientMemoryError, type MemoryDemand } from '../errors.ts';
import type { LoadPlan } from '../runners/load-plan.ts';
import { describeBytes } from '../describe-bytes.ts';
import type { ProcessMemory } from './process-memory.ts';

/** What the model may take. */
export interface MemoryAllowance {
  /** Null where the system did not say. */
  readonly process: ProcessMemory | null;
  /** Left to JavaScript, the tokenizer, requests and the rest of the machine. */
  readonly reserveBytes: number;
  /** What the model may take; infinity where neither system nor caller says. */
  readonly limitBytes: number;
}

/** How much KV memory is wanted. */
export interface KvDemand {
  /** The caller's choice; undefined for what is left. */
  readonly kvCacheBytes: number | undefined;
  /** More is of no use: every sequence that may be kept, at its longest. */
  readonly mostUsefulBytes: number;
}

/** One plan against the allowance. */
export interface LoadBudget extends MemoryDemand {
  readonly plan: LoadPlan;
  /** KV memory to hand out, where the model fits. */
  readonly kvBudgetBytes: number;
}

const MEBIBYTE = 2 ** 20;
const GIBIBYTE = 2 ** 30;
const RESERVE_SHARE = 1 / 16;
const SMALLEST_RESERVE = 64 * MEBIBYTE;
const LARGEST_RESERVE = GIBIBYTE;

/** A sequence that outgrows its place moves to one of twice the rows, and for a moment both exist. */
const KV_WHILE_GROWING = 1.5;

/** KV memory where nobody knows how much memory there is. */
export const KV_BYTES_OF_UNKNOWN_MEMORY = 64 * MEBIBYTE;
const MOST_UNPLANNED_KV_BYTES = 4 * GIBIBYTE;

/** The caller's limit, else what the process may still use less the reserve. */
export function allowanceOf(process: ProcessMemory | null, memoryLimitBytes: number | undefined): MemoryAllowance {
  if (memoryLimitBytes !== undefined) return { process, reserveBytes: 0, limitBytes: memoryLimitBytes };
  if (process === null) return { process, reserveBytes: 0, limitBytes: Number.POSITIVE_INFINITY };
  const { availableBytes } = process;
  const reserve = Math.min(LARGEST_RESERVE, Math.max(SMALLEST_RESERVE, Math.floor(availableBytes * RESERVE_SHARE)));
  const reserveBytes = Math.min(reserve, availableBytes);
  return { process, reserveBytes, limitBytes: availableBytes - reserveBytes };
}

/** Holds a plan against the allowance. */
export function budgetOf(plan: LoadPlan, { limitBytes }: MemoryAllowance, kv: KvDemand): LoadBudget {
  const { precision, weightBytes, loadingBytes, workspaceBytes, smallestKvBytes } = plan;
  const kvCacheBytes = kv.kvCacheBytes ?? smallestKvBytes;
  const requiredBytes = weightBytes + Math.max(loadingBytes, workspaceBytes + kvCacheBytes);
  return {
    plan,
    precision,
    requiredBytes,
    kvCacheBytes,
    fits: requiredBytes <= limitBytes,
    kvBudgetBytes: kv.kvCacheBytes ?? kvThatIsLeft(plan, limitBytes, kv.mostUsefulBytes),
  };
}

function kvThatIsLeft(plan: LoadPlan, limitBytes: number, mostUsefulBytes: number): number {
  if (limitBytes === Number.POSITIVE_INFINITY) return Math.max(KV_BYTES_OF_UNKNOWN_MEMORY, plan.smallestKvBytes);
  const left = Math.floor((limitBytes - plan.weightBytes - plan.workspaceBytes) / KV_WHILE_GROWING);
  return Math.max(plan.smallestKvBytes, Math.min(left, mostUsefulBytes));
}

/**
 * Throws where the first plan does not fit.
 *
 * @param model What the error calls the model.
 * @param plans The plan that was asked for, then those for the other precisions.
 * @throws InsufficientMemoryError
 */
export function checkFit(
  model: string,
  [asked, ...others]: readonly [LoadPlan, ...LoadPlan[]],
  allowance: MemoryAllowance,
  kv: KvDemand,
): LoadBudget {
  const budget = budgetOf(asked, allowance, kv);
  if (budget.fits) return budget;
  const alternatives = others
    .map((plan) => budgetOf(plan, allowance, kv))
    // bf16 experts are held in one way whatever is asked for.
    .filter(({ plan }) => plan.weightBytes !== asked.weightBytes)
    .map(demandOf);
  throw new InsufficientMemoryError(
    model,
    demandOf(budget),
    allowance.limitBytes,
    alternatives,
    kvAdvice(asked, allowance, kv),
  );
}

const demandOf = ({ precision, requiredBytes, kvCacheBytes, fits }: LoadBudget): MemoryDemand => ({
  precision,
  requiredBytes,
  kvCacheBytes,
  fits,
});

/** The largest KV cache that would fit, where it is the caller's own that does not. */
function kvAdvice(plan: LoadPlan, { limitBytes }: MemoryAllowance, { kvCacheBytes }: KvDemand): string | null {
  const room = limitBytes - plan.weightBytes - plan.workspaceBytes;
  const isCause = plan.weightBytes + plan.loadingBytes <= limitBytes && room >= plan.smallestKvBytes;
  return kvCacheBytes === undefined || !isCause
    ? null
    : `a KV cache of at most ${describeBytes(room)} would fit (kvCacheBytes, --kv-cache-mib)`;
}

/** KV memory of a runner that tells no plan: a quarter of what the process may still use, from 64 MiB to 4 GiB. */
export function unplannedKvBytes({ process, limitBytes }: MemoryAllowance): number {
  const available = Math.min(process?.availableBytes ?? 0, limitBytes);
  return Math.min(MOST_UNPLANNED_KV_BYTES, Math.max(KV_BYTES_OF_UNKNOWN_MEMORY, Math.floor(available / 4)));
}
