/** Which code was measured: its commit, and versions of packages. */

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BenchmarkCommit } from './report.ts';

/** Pages and earlier results may differ from the commit without changing what is measured. */
const WITHOUT_DOCUMENTS = ['--', ':(top)', ':(top,exclude)docs', ':(top,exclude)*.md'];

/**
 * The commit that a package is checked out at.
 *
 * @param manifest its package.json
 * @returns null where git does not know the package: it is installed, or there is no git
 */
export function commitOf(manifest: URL): BenchmarkCommit | null {
  const folder = path.dirname(fileURLToPath(manifest));
  try {
    // A package in node_modules lies in its user's checkout, whose commit says nothing of it.
    git(folder, 'ls-files', '--error-unmatch', 'package.json');
    const hash = git(folder, 'rev-parse', 'HEAD').trim();
    // Two letters of state and a space are before each path.
    const changed = git(folder, 'status', '--porcelain', ...WITHOUT_DOCUMENTS)
      .split('\n')
      .filter(Boolean);
    return { hash, changed: changed.map((line) => line.slice(3)) };
  } catch {
    return null;
  }
}

function git(folder: string, ...words: readonly string[]): string {
  return execFileSync('git', words, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
}

/**
 * Versions of Node, of a package, and of packages that it or one named before finds. Those that are not found are left
 * out.
 *
 * @param manifest the package's package.json
 */
export function versionsOf(manifest: URL, names: readonly string[] = []): Record<string, string> {
  const own = readManifest(fileURLToPath(manifest));
  const versions: Record<string, string> = { node: process.versions.node };
  if (own !== null) versions[own.name] = own.version;
  const importers = [fileURLToPath(manifest)];
  for (const name of names) {
    // Not by require.resolve: most packages do not export their package.json.
    const folders = importers.flatMap((importer) => createRequire(importer).resolve.paths(name) ?? []);
    const file = folders.map((folder) => path.join(folder, name, 'package.json')).find(existsSync);
    const found = file === undefined ? null : readManifest(file);
    if (file === undefined || found === null) continue;
    versions[name] = found.version;
    importers.push(realpathSync(file));
  }
  return versions;
}

function readManifest(file: string): { readonly name: string; readonly version: string } | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return null;
  }
}
