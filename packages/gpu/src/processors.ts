/** How many processors this process may use: what its affinity and its control groups leave of the machine's. */

import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { controlGroups, type ControlGroup, type ReadText, textOf } from './control-groups.ts';

/** Processors that a process may use; whole numbers, at least 1. */
export interface UsableProcessors {
  /** Threads that can run at once. */
  readonly threads: number;
  /** Cores that they share: fewer than `threads` where a core runs several. */
  readonly cores: number;
}

/** Who is asked. Any of them may throw. */
export interface ProcessorSources {
  readonly platform: NodeJS.Platform;
  /** `os.availableParallelism`: counts the affinity, and in newer versions of Node the quota. */
  readonly availableParallelism: () => number;
  readonly readText: ReadText;
}

const SYSTEM: ProcessorSources = {
  platform: process.platform,
  availableParallelism,
  readText: (path) => readFileSync(path, 'utf8'),
};

/**
 * Asks the system. One of each where nobody answers; never throws.
 *
 * A quota of control groups counts in whole processors, rounded down: threads beyond it would be stopped in the middle of
 * what the others wait for.
 */
export function usableProcessors(sources: ProcessorSources = SYSTEM): UsableProcessors {
  const allowed = sources.platform === 'linux' ? allowedProcessors(sources.readText) : [];
  const parallel = countFrom(sources.availableParallelism) ?? Math.max(1, allowed.length);
  const quota = sources.platform === 'linux' ? quotaOf(sources.readText) : null;
  const threads = Math.max(1, Math.min(parallel, quota === null ? parallel : Math.floor(quota)));
  return { threads, cores: Math.min(threads, coresOf(sources.readText, allowed) ?? threads) };
}

/** The numbers of the processors of this process's affinity; empty where the system does not tell. */
function allowedProcessors(readText: ReadText): number[] {
  const status = textOf(readText, '/proc/self/status') ?? '';
  return numbersOf(/^Cpus_allowed_list:\s*([\d,-]+)$/m.exec(status)?.[1] ?? '');
}

/** The cores that these processors are on; null where the system does not tell. */
function coresOf(readText: ReadText, processors: readonly number[]): number | null {
  const cores = new Set<string>();
  for (const processor of processors) {
    const siblings = textOf(readText, `/sys/devices/system/cpu/cpu${processor}/topology/thread_siblings_list`);
    if (siblings === null) return null;
    cores.add(siblings.trim());
  }
  return cores.size === 0 ? null : cores.size;
}

/** The least number of processors that the groups of this process leave it, a fraction too; null without a limit. */
function quotaOf(readText: ReadText): number | null {
  const quotas = controlGroups(readText, 'cpu').flatMap((group) => groupQuota(readText, group) ?? []);
  return quotas.length === 0 ? null : Math.min(...quotas);
}

/** Microseconds of processors in a period of the clock; `max` and -1 are no limit. */
function groupQuota(readText: ReadText, { version, folder }: ControlGroup): number | null {
  const [quota, period] =
    version === 2
      ? (textOf(readText, `${folder}/cpu.max`) ?? '').trim().split(' ').map(Number)
      : ['cpu.cfs_quota_us', 'cpu.cfs_period_us'].map((name) => Number(textOf(readText, `${folder}/${name}`) ?? ''));
  const isLimit = quota !== undefined && period !== undefined && quota > 0 && period > 0;
  return isLimit && Number.isFinite(quota / period) ? quota / period : null;
}

/** A list as the kernel writes it, such as `0-3,8`. */
function numbersOf(list: string): number[] {
  const ranges = list.split(',').map((range) => range.split('-').map(Number));
  if (list === '') return [];
  return ranges.flatMap(([first = 0, last = first]) =>
    // No kernel has as many processors.
    last < first || last - first > 65_536 ? [] : Array.from({ length: last - first + 1 }, (_, index) => first + index),
  );
}

function countFrom(source: () => number): number | null {
  try {
    const count = source();
    return Number.isInteger(count) && count > 0 ? count : null;
  } catch {
    return null;
  }
}
