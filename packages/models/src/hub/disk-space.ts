/**
 * Room for a download.
 */

import { existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CacheNotWritableError, DiskSpaceError } from './errors.ts';

/** Left to everybody else. */
const MARGIN_BYTES = 64 * 2 ** 20;

/** Bytes that this user may still write to the disk of a folder, which need not be there yet. */
export type FreeBytes = (folder: string) => Promise<number>;

/** What the file system says. */
export const freeBytesOf: FreeBytes = async (folder) => {
  let existing = folder;
  while (!existsSync(existing) && dirname(existing) !== existing) existing = dirname(existing);
  const { bavail, bsize } = await statfs(existing);
  return bavail * bsize;
};

/**
 * Throws DiskSpaceError where a download would fill the disk.
 *
 * @param neededBytes what is still to be written
 */
export async function checkDiskSpace(folder: string, neededBytes: number, freeBytes: FreeBytes): Promise<void> {
  if (neededBytes === 0) return;
  const free = await freeBytes(folder);
  if (neededBytes + MARGIN_BYTES > free) throw new DiskSpaceError(folder, neededBytes, free);
}

/** Failures of writing, in words; everything else as it is. */
export function describeWriteError(error: unknown, folder: string, neededBytes: number): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error;
  if (error.code === 'ENOSPC' || error.code === 'EDQUOT') return new DiskSpaceError(folder, neededBytes, null, error);
  const isRefused = error.code === 'EACCES' || error.code === 'EROFS' || error.code === 'EPERM';
  return isRefused ? new CacheNotWritableError(folder, error) : error;
}
