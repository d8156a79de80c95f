/**
 * Downloading a model into the cache that Hugging Face's tools share.
 */

import { checkDiskSpace, describeWriteError, type FreeBytes, freeBytesOf } from './disk-space.ts';
import { downloadFiles, type DownloadPlaces } from './download.ts';
import { HubOfflineError } from './errors.ts';
import { HubCache, missingFiles, snapshotBytes } from './hub-cache.ts';
import { HubClient, type HubClientOptions } from './hub-client.ts';
import { hubSettings, type HubSettings } from './hub-settings.ts';
import { type ModelName, modelNameText, parseModelName } from './model-name.ts';
import { PartialFile } from './partial-file.ts';
import { PIECE_BYTES } from './piece-map.ts';
import { PullCount, type PullProgress } from './pull-progress.ts';
import { readRevision, type RepositoryFile, type RepositoryRevision } from './repository-files.ts';
import { RepositoryLock } from './repository-lock.ts';

/** How to download. */
export interface PullOptions extends Pick<HubClientOptions, 'signal' | 'attempts' | 'backoff'> {
  /** Default those of the environment. */
  readonly settings?: HubSettings;
  /** Requests at a time, 1 and up. Default 8. */
  readonly connections?: number;
  /** Bytes of a piece of a file, which is one request, 1 and up. Default 64 MiB. */
  readonly pieceBytes?: number;
  /** Called as bytes come, several times a millisecond. Must not throw. */
  readonly onProgress?: (progress: PullProgress) => void;
  /** Tells how much room there is. Default what the file system says. */
  readonly freeBytes?: FreeBytes;
}

/** A model that is in the cache. */
export interface PulledModel {
  /** `OWNER/MODEL`, with `@REVISION` where it is not the default. */
  readonly name: string;
  /** The folder to load. */
  readonly path: string;
  /** The commit that the revision is. */
  readonly commit: string;
  /** Bytes of all files. */
  readonly totalBytes: number;
  /** Bytes that came over the network. */
  readonly downloadedBytes: number;
}

const CONNECTIONS = 8;

/**
 * Downloads what is not in the cache yet of a model's configuration, tokenizer, weights and licence: several parts of
 * files at a time, going on where an earlier call stopped, each file checked by its hash. A revision that is a branch is
 * asked for anew each time. With `offline` nothing is asked, and what is in the cache has to be whole.
 *
 * @param model `OWNER/MODEL` or `OWNER/MODEL@REVISION`
 * @throws the errors of errors.ts, the system's where the cache cannot be written for another reason; the signal's reason
 */
export async function pullModel(model: string, options: PullOptions = {}): Promise<PulledModel> {
  const { signal, onProgress = () => undefined } = options;
  signal?.throwIfAborted();
  const name = parseModelName(model);
  const settings = options.settings ?? hubSettings();
  const cache = new HubCache(settings.cacheFolder, name.repository);
  if (settings.offline) return cachedModel(name, cache, settings);

  const stop = new AbortController();
  const forward = (): void => stop.abort(signal?.reason);
  signal?.addEventListener('abort', forward, { once: true });
  const count = new PullCount(onProgress);
  try {
    await using client = new HubClient(settings, name.repository, {
      attempts: options.attempts,
      backoff: options.backoff,
      signal: stop.signal,
      onWait: (_, reason) => count.waiting(reason),
    });
    count.asking(settings.endpoint);
    const revision = await readRevision(client, name);
    const totalBytes = revision.files.reduce((sum, { size }) => sum + size, 0);
    const places = { client, cache, commit: revision.commit, count };
    const lock = await RepositoryLock.take(cache.lockFolder, name.repository);
    try {
      await downloadMissing(revision, totalBytes, places, settings, options, stop);
      // Last: until then the name leads to what was there before, or nowhere.
      await cache.writeRef(name, revision.commit);
    } finally {
      await lock.release();
    }
    return {
      name: modelNameText(name),
      path: cache.snapshotPath(revision.commit),
      commit: revision.commit,
      totalBytes,
      downloadedBytes: count.downloadedBytes,
    };
  } catch (error) {
    signal?.throwIfAborted();
    throw describeWriteError(error, settings.cacheFolder, count.missingBytes);
  } finally {
    signal?.removeEventListener('abort', forward);
  }
}

async function downloadMissing(
  revision: RepositoryRevision,
  totalBytes: number,
  places: DownloadPlaces,
  settings: HubSettings,
  options: PullOptions,
  stop: AbortController,
): Promise<void> {
  const { cache, count } = places;
  const { missing, neededBytes } = await missingParts(cache, revision);
  count.begin(totalBytes - neededBytes, totalBytes);
  await checkDiskSpace(settings.cacheFolder, neededBytes, options.freeBytes ?? freeBytesOf);
  await cache.prepare(revision);
  const { connections = CONNECTIONS, pieceBytes = PIECE_BYTES } = options;
  await downloadFiles(missing, places, { connections, pieceBytes }, stop);
}

/** What there is without asking. */
async function cachedModel(name: ModelName, cache: HubCache, settings: HubSettings): Promise<PulledModel> {
  const snapshot = cache.findSnapshot(name.revision);
  if (snapshot === null || missingFiles(snapshot.path).length > 0) {
    throw new HubOfflineError(modelNameText(name), settings.cacheFolder);
  }
  const totalBytes = await snapshotBytes(snapshot.path);
  return { name: modelNameText(name), ...snapshot, totalBytes, downloadedBytes: 0 };
}

/** The files that are not whole, and the bytes that are to come of them. */
async function missingParts(
  cache: HubCache,
  { files }: RepositoryRevision,
): Promise<{ readonly missing: readonly RepositoryFile[]; readonly neededBytes: number }> {
  const missing: RepositoryFile[] = [];
  let neededBytes = 0;
  for (const file of files) {
    if (await cache.hasBlob(file)) continue;
    missing.push(file);
    neededBytes += file.size - (await PartialFile.bytesThere(file, cache.blobPath(file)));
  }
  return { missing, neededBytes };
}
