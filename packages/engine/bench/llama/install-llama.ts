/** node-llama-cpp, installed on demand into a folder of its own: it is no dependency of any package. */

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

/** The version that figures are of. */
export const LLAMA_VERSION = '3.22.1';

/** The packages of node-llama-cpp for a machine without GPU: itself, and its binaries for this system. */
const PACKAGES = [
  `node-llama-cpp@${LLAMA_VERSION}`,
  `@node-llama-cpp/${process.platform === 'darwin' ? 'mac' : process.platform}-${process.arch}@${LLAMA_VERSION}`,
];

/**
 * The entry of node-llama-cpp, installed from npm where it is not yet, without its own downloads.
 *
 * @param folder defaults to one in the user's cache folder.
 */
export async function installLlama(folder: string = defaultFolder()): Promise<URL> {
  const entry = join(folder, 'node_modules', 'node-llama-cpp', 'dist', 'index.js');
  if (!existsSync(entry)) {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
    const options = ['--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund'];
    await promisify(execFile)('npm', ['install', ...options, ...PACKAGES], { cwd: folder });
  }
  return pathToFileURL(entry);
}

function defaultFolder(): string {
  const caches = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  return join(caches, 'switchyard', `node-llama-cpp-${LLAMA_VERSION}`);
}
