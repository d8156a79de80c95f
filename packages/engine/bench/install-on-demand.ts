/** Packages that figures and tests need and no package depends on: installed from npm on demand, each set in its own folder. */

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** A folder of Switchyard's in the user's cache folder. */
export function cacheFolder(name: string): string {
  const caches = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  return join(caches, 'switchyard', name);
}

/**
 * Installs packages where `entry`, a path in the folder's node_modules, is not there yet; without scripts of theirs and what
 * they may do without. Gives the path of `entry`.
 *
 * @param packages with versions, as npm takes them
 * @param more options of npm
 */
export async function installOnDemand(
  folder: string,
  packages: readonly string[],
  entry: string,
  more: readonly string[] = [],
): Promise<string> {
  const path = join(folder, 'node_modules', entry);
  if (!existsSync(path)) {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
    const options = ['--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund', ...more];
    await promisify(execFile)('npm', ['install', ...options, ...packages], { cwd: folder });
  }
  return path;
}
