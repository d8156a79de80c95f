/**
 * From the files of a commit to blobs of the cache: several requests at a time, over all files.
 */

import { ChecksumError } from './errors.ts';
import { fetchRange } from './fetch-range.ts';
import type { HubCache } from './hub-cache.ts';
import type { HubClient } from './hub-client.ts';
import { PartialFile } from './partial-file.ts';
import type { PullCount } from './pull-progress.ts';
import type { RepositoryFile } from './repository-files.ts';

/** Where files come from and go to. */
export interface DownloadPlaces {
  readonly client: HubClient;
  readonly cache: HubCache;
  readonly commit: string;
  readonly count: PullCount;
}

/** How much at a time. */
export interface DownloadShape {
  /** Requests at a time. */
  readonly connections: number;
  /** Bytes of one request. */
  readonly pieceBytes: number;
}

/** A part of a file that one request can get; null for a file of which every byte is there. */
interface Part {
  readonly partial: PartialFile;
  readonly piece: number | null;
}

/**
 * Downloads files. The first failure ends all of it; what is there by then stays.
 *
 * @param stop is aborted at the first failure; the client must listen to it
 */
export async function downloadFiles(
  files: readonly RepositoryFile[],
  places: DownloadPlaces,
  shape: DownloadShape,
  stop: AbortController,
): Promise<void> {
  const partials: PartialFile[] = [];
  try {
    for (const file of files) {
      partials.push(await PartialFile.open(file, places.cache.blobPath(file), shape.pieceBytes));
    }
    await share(partsOf(partials), shape.connections, stop, new FileFinisher(places, shape, stop.signal));
  } finally {
    for (const partial of partials) await partial[Symbol.asyncDispose]();
  }
}

function* partsOf(partials: readonly PartialFile[]): Generator<Part> {
  for (const partial of partials) {
    let isWhole = true;
    for (let piece = 0; piece < partial.pieces.pieces; piece++) {
      if (partial.pieces.missing(piece) === null) continue;
      isWhole = false;
      yield { partial, piece };
    }
    if (isWhole) yield { partial, piece: null };
  }
}

/** Lets workers take parts until there are none, or one of them fails. Throws the first failure. */
async function share(
  parts: Generator<Part>,
  connections: number,
  stop: AbortController,
  finisher: FileFinisher,
): Promise<void> {
  const failures: unknown[] = [];
  const work = async (): Promise<void> => {
    try {
      for (let next = parts.next(); next.done !== true && failures.length === 0; next = parts.next()) {
        await finisher.take(next.value);
      }
    } catch (error) {
      failures.push(error);
      stop.abort(error);
    }
  };
  await Promise.all(Array.from({ length: connections }, work));
  if (failures.length > 0) throw failures[0];
}

/** Gets parts, and finishes each file whose last one it got. */
class FileFinisher {
  readonly #places: DownloadPlaces;
  readonly #shape: DownloadShape;
  readonly #signal: AbortSignal;
  readonly #finished = new Set<PartialFile>();

  constructor(places: DownloadPlaces, shape: DownloadShape, signal: AbortSignal) {
    this.#places = places;
    this.#shape = shape;
    this.#signal = signal;
  }

  async take({ partial, piece }: Part): Promise<void> {
    if (piece !== null) await this.#get(partial, piece);
    // Two workers may come from the last two pieces at once.
    if (partial.pieces.doneBytes < partial.file.size || this.#finished.has(partial)) return;
    this.#finished.add(partial);
    await this.#finish(partial);
  }

  async #get(partial: PartialFile, piece: number): Promise<void> {
    const range = partial.pieces.missing(piece);
    if (range === null) return;
    const { client, commit, count } = this.#places;
    const { name, size } = partial.file;
    await fetchRange(client, client.fileUrl(commit, name), range, size, async (bytes) => {
      await partial.write(piece, bytes);
      count.received(bytes.length);
    });
  }

  async #finish(partial: PartialFile): Promise<void> {
    const { cache, commit, count } = this.#places;
    const { file } = partial;
    try {
      await partial.finish(this.#signal);
    } catch (error) {
      // What an earlier process left may be what is wrong: a machine that fails loses what was not on the disk yet.
      if (!(error instanceof ChecksumError) || partial.resumedBytes === 0) throw error;
      count.lost(file.size);
      await this.#startOver(file);
    }
    await cache.addToSnapshot(commit, file);
    count.file(file.name);
  }

  async #startOver(file: RepositoryFile): Promise<void> {
    const { cache } = this.#places;
    await using partial = await PartialFile.open(file, cache.blobPath(file), this.#shape.pieceBytes);
    for (let piece = 0; piece < partial.pieces.pieces; piece++) await this.#get(partial, piece);
    await partial.finish(this.#signal);
  }
}
