/**
 * How far a download is, as its caller is told.
 */

/** One moment of a download. */
export interface PullProgress {
  /** The hub is asked what there is; bytes come; a failure is waited out, after which the download goes on. */
  readonly phase: 'asking' | 'downloading' | 'waiting';
  /** In words: whom is asked, the file that was begun or finished last, why is waited. */
  readonly what: string;
  /** Bytes that are there, and those of the whole model; both 0 while that is not known. */
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** Bytes that came over the network. */
  readonly downloadedBytes: number;
}

/** Counts, and tells. */
export class PullCount {
  readonly #onProgress: (progress: PullProgress) => void;
  #what = '';
  #doneBytes = 0;
  #totalBytes = 0;
  #downloadedBytes = 0;

  constructor(onProgress: (progress: PullProgress) => void) {
    this.#onProgress = onProgress;
  }

  /** Bytes that are still to come. */
  get missingBytes(): number {
    return this.#totalBytes - this.#doneBytes;
  }

  get downloadedBytes(): number {
    return this.#downloadedBytes;
  }

  asking(what: string): void {
    this.#tell('asking', what);
  }

  waiting(reason: string): void {
    this.#tell('waiting', reason);
  }

  /** It is known what there is and what is to come. */
  begin(doneBytes: number, totalBytes: number): void {
    this.#doneBytes = doneBytes;
    this.#totalBytes = totalBytes;
    this.#tell('downloading', this.#what);
  }

  /** A file was begun or finished. */
  file(name: string): void {
    this.#what = name;
    this.#tell('downloading', name);
  }

  received(bytes: number): void {
    this.#doneBytes += bytes;
    this.#downloadedBytes += bytes;
    this.#tell('downloading', this.#what);
  }

  /** Bytes that were counted are of no use. */
  lost(bytes: number): void {
    this.#doneBytes -= bytes;
  }

  #tell(phase: PullProgress['phase'], what: string): void {
    this.#onProgress({
      phase,
      what,
      doneBytes: this.#doneBytes,
      totalBytes: this.#totalBytes,
      downloadedBytes: this.#downloadedBytes,
    });
  }
}
