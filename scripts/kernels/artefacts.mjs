/** Files that are built from kernel sources and committed. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { ROOT } from '../commands.mjs';

/**
 * A built file.
 * @typedef {{ readonly path: string, readonly bytes: Uint8Array }} Artefact `path` is absolute
 *
 * What builds some of them. `missing` names the tools that are not installed; then nothing is built. `again` asks for all of
 * it to be made anew, whatever is there.
 * @typedef {{ readonly name: string, readonly missing: () => string[], readonly build: (again: boolean) => Promise<Artefact[]> }} KernelBuild
 */

/** How a path is shown: from the root, with slashes. */
export const shown = (path) => relative(ROOT, path).split(sep).join('/');

/** The absolute path of a file of the repository, named with slashes. */
export const inRoot = (path) => join(ROOT, ...path.split('/'));

/**
 * Compares a built file with the one that is there, and writes it where they differ.
 *
 * @param {Artefact} artefact
 * @param {boolean} write whether to write it
 * @returns {Promise<boolean>} whether they differ
 */
export async function update({ path, bytes }, write) {
  const before = await readFile(path).catch(() => null);
  if (before !== null && Buffer.compare(before, bytes) === 0) return false;
  if (write) {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, bytes);
  }
  return true;
}
