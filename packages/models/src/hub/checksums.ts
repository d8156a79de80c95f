/**
 * The hashes by which a hub names files.
 */

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { Checksum } from './repository-files.ts';

/** Bytes of one read. */
const READ_BYTES = 4 * 2 ** 20;

/**
 * The hash of a file, in small hexadecimal letters. Git hashes a blob behind a header with its size
 * (https://git-scm.com/book/en/v2/Git-Internals-Git-Objects).
 *
 * @param size bytes of the file
 */
export async function hashFile(
  path: string,
  size: number,
  algorithm: Checksum['algorithm'],
  signal?: AbortSignal,
): Promise<string> {
  const hash = createHash(algorithm === 'sha256' ? 'sha256' : 'sha1');
  if (algorithm === 'git-sha1') hash.update(`blob ${size}\0`);
  for await (const chunk of createReadStream(path, { highWaterMark: READ_BYTES })) {
    signal?.throwIfAborted();
    hash.update(chunk as Buffer);
  }
  return hash.digest('hex');
}
