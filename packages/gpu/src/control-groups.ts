/**
 * The Linux control groups of this process: containers are limited by them, and so are services and batch jobs.
 *
 * @see https://docs.kernel.org/admin-guide/cgroup-v2.html
 * @see https://docs.kernel.org/admin-guide/cgroup-v1/cgroups.html
 */

/** Reads a small text file. Throws where there is none. */
export type ReadText = (path: string) => string;

/** What a group limits. */
export type GroupController = 'cpu' | 'memory';

/** A group, by the folder of its files. */
export interface ControlGroup {
  readonly version: 1 | 2;
  readonly folder: string;
}

const ROOT = '/sys/fs/cgroup';

/** The groups of this process that may limit something, and those above them; the tightest limit counts. Never throws. */
export function controlGroups(readText: ReadText, controller: GroupController): ControlGroup[] {
  const groups = textOf(readText, '/proc/self/cgroup') ?? '';
  return groups.split('\n').flatMap((line) => {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) return [];
    if (controllers === '') return upwards(2, ROOT, path);
    return controllers.split(',').includes(controller) ? upwards(1, `${ROOT}/${controller}`, path) : [];
  });
}

/** In a container the path may be the host's while the files are the container's own: the root is always looked at. */
function upwards(version: 1 | 2, root: string, path: string): ControlGroup[] {
  const names = path.split('/').filter((name) => name !== '');
  const depth = names.includes('..') ? 0 : names.length;
  return Array.from({ length: depth + 1 }, (_, level) => ({
    version,
    folder: [root, ...names.slice(0, level)].join('/'),
  }));
}

/** The text of a file, or null where it cannot be read. */
export function textOf(readText: ReadText, path: string): string | null {
  try {
    return readText(path);
  } catch {
    return null;
  }
}
