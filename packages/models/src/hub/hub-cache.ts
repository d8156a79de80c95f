/**
 * The cache that Hugging Face's tools share: a file's bytes once, under their hash, in `blobs`; in `snapshots/COMMIT` links
 * to them under the files' names; in `refs` the commits that branches and tags had when they were asked for.
 *
 * @see https://huggingface.co/docs/huggingface_hub/guides/manage-cache
 */

import { copyFile, link, lstat, mkdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { isJsonObject } from '../files/json-text.ts';
import type { ModelName } from './model-name.ts';
import { COMMIT, type RepositoryFile, type RepositoryRevision } from './repository-files.ts';

/** The part of the cache that belongs to one repository. */
export class HubCache {
  /** `models--OWNER--MODEL`. Absolute. */
  readonly folder: string;
  /** Where Hugging Face's tools keep locks for this repository. */
  readonly lockFolder: string;

  constructor(cacheFolder: string, repository: string) {
    const name = `models--${repository.replaceAll('/', '--')}`;
    this.folder = join(cacheFolder, name);
    this.lockFolder = join(cacheFolder, '.locks', name);
  }

  blobPath({ checksum }: RepositoryFile): string {
    return join(this.folder, 'blobs', checksum.hex);
  }

  /** The folder that looks like the repository at a commit. */
  snapshotPath(commit: string): string {
    return join(this.folder, 'snapshots', commit);
  }

  /** The folder of a revision as far as this cache knows it; null where it does not. */
  findSnapshot(revision: string): { readonly commit: string; readonly path: string } | null {
    const commit = COMMIT.test(revision) ? revision : this.#readRef(revision);
    if (commit === null) return null;
    const path = this.snapshotPath(commit);
    return existsSync(path) ? { commit, path } : null;
  }

  /** Whether all bytes of a file are there. */
  async hasBlob(file: RepositoryFile): Promise<boolean> {
    try {
      return (await stat(this.blobPath(file))).size === file.size;
    } catch {
      return false;
    }
  }

  /** Makes the folders that a download writes to, and links to what is there of its files. */
  async prepare({ commit, files }: RepositoryRevision): Promise<void> {
    await mkdir(join(this.folder, 'blobs'), { recursive: true });
    await mkdir(this.snapshotPath(commit), { recursive: true });
    for (const file of files) if (await this.hasBlob(file)) await this.addToSnapshot(commit, file);
  }

  /** Puts a file whose blob is there into a snapshot. */
  async addToSnapshot(commit: string, file: RepositoryFile): Promise<void> {
    const path = join(this.snapshotPath(commit), file.name);
    const blob = this.blobPath(file);
    const isThere = await lstat(path).then(
      () => true,
      () => false,
    );
    // A link of an interrupted download may lead nowhere.
    if (isThere) await rm(path);
    try {
      await symlink(relative(dirname(path), blob), path);
    } catch (error) {
      if (process.platform !== 'win32') throw error;
      // Windows lets only some users make symbolic links.
      await link(blob, path).catch(() => copyFile(blob, path));
    }
  }

  /** Notes which commit a branch or tag is. A commit needs no note. */
  async writeRef({ revision }: Pick<ModelName, 'revision'>, commit: string): Promise<void> {
    if (COMMIT.test(revision)) return;
    const path = this.#refPath(revision);
    await mkdir(dirname(path), { recursive: true });
    // Nobody may read half of it.
    const unfinished = `${path}.${process.pid}`;
    await writeFile(unfinished, commit);
    await rename(unfinished, path);
  }

  #refPath(revision: string): string {
    return join(this.folder, 'refs', ...revision.split('/'));
  }

  #readRef(revision: string): string | null {
    try {
      const commit = readFileSync(this.#refPath(revision), 'utf8').trim();
      return COMMIT.test(commit) ? commit : null;
    } catch {
      return null;
    }
  }
}

/** What a snapshot lacks of a checkpoint that can be loaded, by name; empty where it is whole. */
export function missingFiles(snapshot: string): string[] {
  const present = new Set(readdirSync(snapshot).filter((name) => existsSync(join(snapshot, name))));
  const missing = ['config.json', 'tokenizer.json'].filter((name) => !present.has(name));
  if (present.has('model.safetensors')) return missing;
  const index = present.has('model.safetensors.index.json') ? join(snapshot, 'model.safetensors.index.json') : null;
  if (index !== null) return [...missing, ...shardsOf(index).filter((name) => !present.has(name))];
  return [...present].some((name) => name.endsWith('.safetensors')) ? missing : [...missing, 'model.safetensors'];
}

/** Bytes of the files of a snapshot. */
export async function snapshotBytes(snapshot: string): Promise<number> {
  let bytes = 0;
  for (const name of readdirSync(snapshot)) bytes += (await stat(join(snapshot, name))).size;
  return bytes;
}

/** The shards of an index; none where it is broken, which opening it says better. */
function shardsOf(path: string): string[] {
  try {
    const json: unknown = JSON.parse(readFileSync(path, 'utf8'));
    const map = isJsonObject(json) ? json['weight_map'] : undefined;
    const names = isJsonObject(map) ? Object.values(map) : [];
    return [...new Set(names.filter((name) => typeof name === 'string'))].sort();
  } catch {
    return [];
  }
}
