/**
 * Code objects of one architecture in one file, as packages ship them. Compressed by Brotli; inside: a line with the format's
 * name; a line of JSON with an entry for each object; the objects, each at a multiple of 16 bytes.
 */

import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib';

/** A code object, and what is known of it without its bytes. */
export interface ArchivedObject {
  /** What it was compiled from, as `identifyOffline` names it. */
  readonly identity: string;
  /** What its kernels are looked up by. A kernel may have several. */
  readonly keys: readonly string[];
  readonly code: Uint8Array;
}

interface Entry {
  readonly identity: string;
  readonly keys: readonly string[];
  readonly offset: number;
  readonly bytes: number;
}

const FORMAT = 'switchyard objects 1';
const ALIGNMENT = 16;
/** Of Brotli, as a power of two: a window that holds megabytes, since kernels of one source are much alike. */
const WINDOW_BITS = 24;

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

/** The bytes of an archive before they are compressed, objects in the order given. */
export function packObjects(objects: readonly ArchivedObject[]): Uint8Array {
  let end = 0;
  const entries = objects.map(({ identity, keys, code }): Entry => {
    const offset = end;
    end = aligned(offset + code.length);
    return { identity, keys, offset, bytes: code.length };
  });
  const head = Buffer.from(`${FORMAT}\n${JSON.stringify(entries)}\n`, 'latin1');
  const first = aligned(head.length);
  const archive = new Uint8Array(first + end);
  archive.set(head);
  for (const [index, { code }] of objects.entries()) archive.set(code, first + (entries[index]?.offset ?? 0));
  return archive;
}

/** The objects of an archive, each in memory of its own. @throws RangeError where the bytes are no archive */
export function unpackObjects(archive: Uint8Array): readonly ArchivedObject[] {
  const bytes = Buffer.from(archive.buffer, archive.byteOffset, archive.byteLength);
  const headEnd = bytes.indexOf('\n', FORMAT.length + 1);
  if (bytes.toString('latin1', 0, FORMAT.length + 1) !== `${FORMAT}\n` || headEnd < 0) {
    throw new RangeError('This is no archive of code objects: it does not start with the name of the format.');
  }
  const entries: readonly Entry[] = JSON.parse(bytes.toString('latin1', FORMAT.length + 1, headEnd));
  const first = aligned(headEnd + 1);
  return entries.map(({ identity, keys, offset, bytes: size }) => {
    // A copy: a code object must start at an aligned address.
    const code = new Uint8Array(bytes.subarray(first + offset, first + offset + size));
    if (code.length < size) throw new RangeError('This archive of code objects is cut off.');
    return { identity, keys, code };
  });
}

/** Some seconds for megabytes. Another version of Node may give other bytes; what they decompress to is the same. */
export function compressArchive(archive: Uint8Array): Uint8Array {
  return brotliCompressSync(archive, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
      [constants.BROTLI_PARAM_LGWIN]: WINDOW_BITS,
      [constants.BROTLI_PARAM_SIZE_HINT]: archive.length,
    },
  });
}

/** @throws Error where the bytes are not what `compressArchive` gives */
export function decompressArchive(compressed: Uint8Array): Uint8Array {
  return brotliDecompressSync(compressed);
}
