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
  /** Those cores that are not much slower than the fastest: all but the small ones of a processor that has two kinds. */
  readonly performanceCores: number;
}

/** A core that is slower than this part of the fastest is a small one: kinds differ by more, cores of a kind by less. */
const PERFORMANCE_SHARE = 0.85;

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
  const speeds = coreSpeedsOf(sources.readText, allowed) ?? Array.from({ length: threads }, () => 0);
  const fastest = Math.max(...speeds);
  const performance = speeds.filter((speed) => speed >= PERFORMANCE_SHARE * fastest).length;
  return { threads, cores: Math.min(threads, speeds.length), performanceCores: Math.min(threads, performance) };
}

/** The numbers of the processors of this process's affinity; empty where the system does not tell. */
function allowedProcessors(readText: ReadText): number[] {
  const status = textOf(readText, '/proc/self/status') ?? '';
  return numbersOf(/^Cpus_allowed_list:\s*([\d,-]+)$/m.exec(status)?.[1] ?? '');
}

/**
 * How fast each of the cores is that these processors are on, all in one unit, and all 0 where the system does not tell of
 * some; null where it does not tell the cores.
 */
function coreSpeedsOf(readText: ReadText, processors: readonly number[]): number[] | null {
  const cores = new Map<string, number>();
  let isTold = true;
  for (const processor of processors) {
    const folder = `/sys/devices/system/cpu/cpu${processor}`;
    const siblings = textOf(readText, `${folder}/topology/thread_siblings_list`)?.trim();
    if (siblings === undefined) return null;
    // What arm64 has; elsewhere the largest frequency, in kHz.
    const speed = Number(
      textOf(readText, `${folder}/cpu_capacity`) ??
        textOf(readText, `${folder}/cpufreq/cpuinfo_max_freq`) ??
        Number.NaN,
    );
    if (!(speed > 0 && Number.isFinite(speed))) isTold = false;
    cores.set(siblings, Math.max(cores.get(siblings) ?? 0, speed));
  }
  if (cores.size === 0) return null;
  return isTold ? [...cores.values()] : Array.from(cores, () => 0);
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
