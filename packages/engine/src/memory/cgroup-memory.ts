/**
 * What the memory controllers of Linux control groups leave a process.
 *
 * @see https://docs.kernel.org/admin-guide/cgroup-v2.html#memory
 * @see https://docs.kernel.org/admin-guide/cgroup-v1/memory.html
 */

import { type ControlGroup, controlGroups, type ReadText, textOf } from '@switchyard/gpu/environment';

/** One group's limit. The groups above have limits of their own: the tightest counts. */
export interface MemoryLimit {
  readonly limitBytes: number;
  /** Bytes in use that the kernel cannot take back, or null where the group does not tell. */
  readonly usedBytes: number | null;
}

/** Where one version of control groups keeps its numbers. */
interface GroupFiles {
  readonly limits: readonly string[];
  readonly usage: string;
  /** Names in memory.stat of what is in use and can be taken back: the page cache. */
  readonly reclaimable: readonly string[];
}

const VERSION_1: GroupFiles = {
  limits: ['memory.limit_in_bytes'],
  usage: 'memory.usage_in_bytes',
  reclaimable: ['total_inactive_file', 'total_active_file'],
};

const VERSION_2: GroupFiles = {
  // From `high` on the kernel slows the group down until it has given memory back.
  limits: ['memory.max', 'memory.high'],
  usage: 'memory.current',
  reclaimable: ['inactive_file', 'active_file', 'slab_reclaimable'],
};

/** The limits of this process's memory group and of those above it; empty where there are none. Never throws. */
export function memoryLimits(readText: ReadText): MemoryLimit[] {
  return controlGroups(readText, 'memory').flatMap((group) => limitOf(readText, group) ?? []);
}

function limitOf(readText: ReadText, { version, folder }: ControlGroup): MemoryLimit | null {
  const files = version === 2 ? VERSION_2 : VERSION_1;
  // The word `max` is no number: no limit.
  const limits = files.limits
    .map((name) => numberOf(textOf(readText, `${folder}/${name}`)))
    .filter((limit) => limit !== null);
  if (limits.length === 0) return null;
  const usage = numberOf(textOf(readText, `${folder}/${files.usage}`));
  const statistics = textOf(readText, `${folder}/memory.stat`) ?? '';
  const reclaimable = files.reclaimable.reduce(
    (sum, name) => sum + (numberOf(new RegExp(`^${name} (\\d+)$`, 'm').exec(statistics)?.[1] ?? null) ?? 0),
    0,
  );
  return { limitBytes: Math.min(...limits), usedBytes: usage === null ? null : Math.max(0, usage - reclaimable) };
}

function numberOf(text: string | null): number | null {
  return text !== null && /^\s*\d+\s*$/.test(text) ? Number(text) : null;
}
