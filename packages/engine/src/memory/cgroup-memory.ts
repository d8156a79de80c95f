/**
 * What Linux control groups leave a process: containers are limited by them, and so are services and batch jobs.
 *
 * @see https://docs.kernel.org/admin-guide/cgroup-v2.html#memory
 * @see https://docs.kernel.org/admin-guide/cgroup-v1/memory.html
 * @module
 */

/** One group's limit. The groups above have limits of their own: the tightest counts. */
export interface MemoryLimit {
  readonly limitBytes: number;
  /** Bytes in use that the kernel cannot take back, or null where the group does not tell. */
  readonly usedBytes: number | null;
}

/** Reads a small text file. Throws where there is none. */
export type ReadText = (path: string) => string;

/** Where one version of control groups keeps its numbers. */
interface GroupFiles {
  readonly root: string;
  readonly limits: readonly string[];
  readonly usage: string;
  /** Names in memory.stat of what is in use and can be taken back: the page cache. */
  readonly reclaimable: readonly string[];
}

const VERSION_1: GroupFiles = {
  root: '/sys/fs/cgroup/memory',
  limits: ['memory.limit_in_bytes'],
  usage: 'memory.usage_in_bytes',
  reclaimable: ['total_inactive_file', 'total_active_file'],
};

const VERSION_2: GroupFiles = {
  root: '/sys/fs/cgroup',
  // From `high` on the kernel slows the group down until it has given memory back.
  limits: ['memory.max', 'memory.high'],
  usage: 'memory.current',
  reclaimable: ['inactive_file', 'active_file', 'slab_reclaimable'],
};

/** The limits of this process's memory group and of those above it; empty where there are none. Never throws. */
export function memoryLimits(readText: ReadText): MemoryLimit[] {
  const groups = textOf(readText, '/proc/self/cgroup') ?? '';
  return groups.split('\n').flatMap((line) => {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) return [];
    if (controllers === '') return limitsUpwards(readText, VERSION_2, path);
    return controllers.split(',').includes('memory') ? limitsUpwards(readText, VERSION_1, path) : [];
  });
}

/** In a container the path may be the host's while the files are the container's own: the root is always looked at. */
function limitsUpwards(readText: ReadText, files: GroupFiles, path: string): MemoryLimit[] {
  const names = path.split('/').filter((name) => name !== '');
  const depth = names.includes('..') ? 0 : names.length;
  return Array.from({ length: depth + 1 }, (_, level) => [files.root, ...names.slice(0, level)].join('/')).flatMap(
    (folder) => limitOf(readText, files, folder) ?? [],
  );
}

function limitOf(readText: ReadText, files: GroupFiles, folder: string): MemoryLimit | null {
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

function textOf(readText: ReadText, path: string): string | null {
  try {
    return readText(path);
  } catch {
    return null;
  }
}

function numberOf(text: string | null): number | null {
  return text !== null && /^\s*\d+\s*$/.test(text) ? Number(text) : null;
}
