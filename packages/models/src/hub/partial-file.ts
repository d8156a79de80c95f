/**
 * A file of the cache while it is downloaded: its bytes so far, and beside it a list of which they are, so that a later
 * process goes on where this one stopped.
 */

import { constants } from 'node:fs';
import { type FileHandle, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { ChecksumError } from './errors.ts';
import { hashFile } from './checksums.ts';
import { PieceMap } from './piece-map.ts';
import type { RepositoryFile } from './repository-files.ts';

/**
 * Not `.incomplete`, which is huggingface_hub's: it takes such a file for the beginning of the whole, and this one may
 * have holes.
 */
const SUFFIX = '.incomplete-pieces';
/** The list is written no more often than this. */
const SAVE_INTERVAL_MS = 1000;

/** One file that is being downloaded. */
export class PartialFile implements AsyncDisposable {
  readonly file: RepositoryFile;
  readonly pieces: PieceMap;
  /** Bytes that an earlier process left. */
  readonly resumedBytes: number;
  readonly #blobPath: string;
  #handle: FileHandle | null;
  #savedAt = 0;
  #saving: Promise<void> = Promise.resolve();

  private constructor(file: RepositoryFile, blobPath: string, handle: FileHandle, pieces: PieceMap) {
    this.file = file;
    this.#blobPath = blobPath;
    this.#handle = handle;
    this.pieces = pieces;
    this.resumedBytes = pieces.doneBytes;
  }

  /** Bytes that are there of a file that is not whole. */
  static async bytesThere(file: RepositoryFile, blobPath: string): Promise<number> {
    return (await readPieces(blobPath, file.size))?.doneBytes ?? 0;
  }

  /**
   * Opens what there is of a file, or begins it.
   *
   * @param blobPath where it will be when it is whole
   * @param pieceBytes the size of its pieces, where it begins
   */
  static async open(file: RepositoryFile, blobPath: string, pieceBytes: number): Promise<PartialFile> {
    const left = await readPieces(blobPath, file.size);
    // No O_TRUNC: what is there is what it goes on from.
    const handle = await open(blobPath + SUFFIX, constants.O_RDWR | constants.O_CREAT);
    const pieces = left !== null && left.doneBytes > 0 ? left : new PieceMap(file.size, pieceBytes);
    return new PartialFile(file, blobPath, handle, pieces);
  }

  /** Writes the next bytes of a piece. */
  async write(piece: number, bytes: Uint8Array): Promise<void> {
    const range = this.pieces.missing(piece);
    if (range === null || this.#handle === null) throw new RangeError(`Piece ${piece} of ${this.file.name} is closed.`);
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, range.begin + done);
      done += bytesWritten;
    }
    this.pieces.add(piece, bytes.length);
    const now = performance.now();
    if (now - this.#savedAt < SAVE_INTERVAL_MS) return;
    this.#savedAt = now;
    await this.save();
  }

  /** Writes the list of what is there. */
  async save(): Promise<void> {
    const path = this.#blobPath + SUFFIX;
    const write = async (): Promise<void> => {
      // Whoever is killed meanwhile leaves the list of before.
      await writeFile(`${path}.json.new`, JSON.stringify(this.pieces));
      await rename(`${path}.json.new`, `${path}.json`);
    };
    // A list that cannot be written costs a later process some bytes that it asks for again, and this one nothing.
    this.#saving = this.#saving.then(write).catch(() => undefined);
    await this.#saving;
  }

  /**
   * Checks a file that is all there and gives it its name.
   *
   * @throws ChecksumError; the file is gone then
   */
  async finish(signal: AbortSignal): Promise<void> {
    const { name, size, checksum } = this.file;
    const path = this.#blobPath + SUFFIX;
    // Otherwise a machine that fails may leave a file of the right name and wrong bytes.
    await this.#handle?.sync();
    await this.#close();
    const found = await hashFile(path, size, checksum.algorithm, signal);
    if (found !== checksum.hex) {
      await this.#remove();
      throw new ChecksumError(name, checksum.hex, found);
    }
    await rename(path, this.#blobPath);
    await rm(`${path}.json`, { force: true });
  }

  /** Leaves what is there to a later process. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#handle === null) return;
    await this.#close();
    await this.save();
  }

  async #close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = null;
    await handle?.close();
  }

  async #remove(): Promise<void> {
    const path = this.#blobPath + SUFFIX;
    await rm(path, { force: true });
    await rm(`${path}.json`, { force: true });
  }
}

/** The list of an earlier process; null where there is none that fits. */
async function readPieces(blobPath: string, size: number): Promise<PieceMap | null> {
  const path = blobPath + SUFFIX;
  try {
    await stat(path);
    return PieceMap.fromJson(JSON.parse(await readFile(`${path}.json`, 'utf8')), size);
  } catch {
    return null;
  }
}
