/** Where ROCm's libraries lie: what the environment names, what is installed, Python wheels, then the linker's path. */

import { readdirSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';

/** The machine that is searched. Replaced in tests. */
export interface SearchedMachine {
  readonly environment: NodeJS.ProcessEnv;
  /** Names in a folder; none where it cannot be read. */
  readonly list: (folder: string) => readonly string[];
  /** The file that a path leads to. */
  readonly realPath: (file: string) => string;
  /** The user's home folder; null where there is none. */
  readonly home: string | null;
}

/** This machine. */
export function thisMachine(): SearchedMachine {
  return {
    environment: process.env,
    list: (folder) => orElse(() => readdirSync(folder), []),
    realPath: (file) => orElse(() => realpathSync(file), file),
    home: orElse(homedir, null),
  };
}

/** Versions that are asked of the dynamic linker, newest first. */
const LINKER_VERSIONS = {
  amdhip64: [7, 6, 5],
  hiprtc: [7, 6],
  amd_comgr: [3, 2],
} as const;

/** A library of ROCm: the HIP runtime, hipRTC, the code-object manager. */
export type RocmLibrary = keyof typeof LINKER_VERSIONS;

/**
 * Files and names to try for a library, best first: beside a library that is in use, ROCM_PATH, HIP_PATH, /opt/rocm and
 * /opt/rocm-* (newest first), ROCm's Python wheels, and the linker's path. Files that are the same are named once.
 *
 * @param beside the path of a library that this one has to fit
 */
export function rocmCandidates(
  library: RocmLibrary,
  machine: SearchedMachine = thisMachine(),
  beside?: string,
): readonly string[] {
  const { environment } = machine;
  const named = [environment['ROCM_PATH'], environment['HIP_PATH']].filter((root) => root !== undefined && root !== '');
  const near = beside !== undefined && isAbsolute(beside) ? [dirname(beside)] : [];
  const folders = [
    ...near,
    ...named.map((root) => join(String(root), 'lib')),
    ...installedRoots(machine).map((root) => join(root, 'lib')),
    ...wheelFolders(machine),
  ];
  const seen = new Set<string>();
  const files = folders.flatMap((folder) =>
    versionsIn(folder, library, machine).filter((file) => {
      const real = machine.realPath(file);
      if (seen.has(real)) return false;
      seen.add(real);
      return true;
    }),
  );
  // Where a folder that somebody named holds nothing, the message shall say that it was looked into.
  const missing = named
    .map((root) => join(String(root), 'lib'))
    .filter((folder) => versionsIn(folder, library, machine).length === 0)
    .map((folder) => join(folder, `lib${library}.so`));
  const fromLinker = LINKER_VERSIONS[library].map((version) => `lib${library}.so.${version}`);
  return [...files, ...new Set(missing), ...fromLinker, `lib${library}.so`];
}

/** Every version of a library in a folder, newest first; the name without a version last. */
function versionsIn(folder: string, library: RocmLibrary, machine: SearchedMachine): readonly string[] {
  const pattern = new RegExp(`^lib${library}\\.so((?:\\.\\d+)*)$`);
  return machine
    .list(folder)
    .filter((name) => pattern.test(name))
    .sort(byVersion)
    .map((name) => join(folder, name));
}

/** ROCm's installations: /opt/rocm, which is the chosen one, then those with a version, newest first. */
function installedRoots({ list }: SearchedMachine): readonly string[] {
  const names = list('/opt').filter((name) => /^rocm(?:-\d[\d.]*)?$/.test(name));
  const versions = names.filter((name) => name !== 'rocm').sort(byVersion);
  return [...names.filter((name) => name === 'rocm'), ...versions].map((name) => join('/opt', name));
}

/** Library folders of the Python package that ROCm ships its runtime in, in the environments that are at hand. */
function wheelFolders({ environment, list, home }: SearchedMachine): readonly string[] {
  const prefixes = [environment['VIRTUAL_ENV'], environment['CONDA_PREFIX'], home && join(home, '.local')];
  const sitePackages = [...prefixes, '/usr/local', '/usr'].flatMap((prefix) => {
    if (prefix === undefined || prefix === null || prefix === '') return [];
    const pythons = list(join(prefix, 'lib')).filter((name) => /^python3(?:\.\d+)?$/.test(name));
    return pythons
      .sort(byVersion)
      .flatMap((python) => ['site-packages', 'dist-packages'].map((name) => join(prefix, 'lib', python, name)));
  });
  const onPath = (environment['PYTHONPATH'] ?? '').split(':').filter((folder) => folder !== '');
  return [...onPath, ...sitePackages].map((folder) => join(folder, '_rocm_sdk_core', 'lib'));
}

/** Newest first. */
function byVersion(left: string, right: string): number {
  const [a, b] = [numbersOf(left), numbersOf(right)];
  for (let index = 0; index < Math.max(a.length, b.length); index += 1) {
    const difference = (b[index] ?? -1) - (a[index] ?? -1);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** The version in a name: what follows `.so`, `rocm-` or `python`. */
function numbersOf(name: string): readonly number[] {
  const version = /(?:\.so\.|rocm-|python)([\d.]+)$/.exec(name)?.[1] ?? '';
  return version === '' ? [] : version.split('.').map(Number);
}

function orElse<Value, Other>(work: () => Value, other: Other): Value | Other {
  try {
    return work();
  } catch {
    return other;
  }
}
