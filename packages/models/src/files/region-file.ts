import { closeSync, fstatSync, openSync, read, readSync } from 'node:fs';
import { promisify } from 'node:util';
import { DisposedError, FileNotReadableError } from '../errors.ts';
import { loadMemoryMap, type MapRegion } from './memory-map.ts';

/** The largest number of bytes asked of the system in one read. */
const READ_CHUNK = 1 << 30;
const readLater = promisify(read);

/** A file whose parts are mapped or, where mapping is not to be had, read one by one; never the whole at once. */
export class RegionFile {
  readonly path: string;
  /** Bytes in the file when it was opened. */
  readonly size: number;
  #descriptor: number | null;
  readonly #map: MapRegion | null;
  /** Reads of `readAsync` under way. */
  #reads = 0;
  #isDisposed = false;

  /**
   * @param map how to map; default the system's mmap. Null reads every region into a buffer of its own.
   * @throws FileNotReadableError
   */
  constructor(path: string, map: MapRegion | null = loadMemoryMap()) {
    this.path = path;
    this.#map = map;
    let descriptor: number | null = null;
    try {
      descriptor = openSync(path, 'r');
      const status = fstatSync(descriptor);
      if (!status.isFile()) throw new TypeError('it is no regular file');
      this.size = status.size;
    } catch (cause) {
      if (descriptor !== null) closeSync(descriptor);
      throw new FileNotReadableError(path, 'check the path and its permissions', cause);
    }
    this.#descriptor = descriptor;
  }

  /**
   * Reads a region, which must lie within the file.
   *
   * @param bytes where to, `length` bytes long; default a buffer of its own.
   */
  read(offset: number, length: number, bytes: Uint8Array = new Uint8Array(length)): Uint8Array {
    const descriptor = this.#open();
    for (let done = 0; done < length; ) {
      const got = readSync(descriptor, bytes, done, Math.min(length - done, READ_CHUNK), offset + done);
      if (got === 0) throw this.#shorter(offset + done);
      done += got;
    }
    return bytes;
  }

  /**
   * Reads a region, which must lie within the file, on a thread of libuv's pool: as many reads as that has threads are under
   * way at once (4 unless UV_THREADPOOL_SIZE says otherwise). A read that has begun ends after `dispose()`, too.
   *
   * @param bytes where to, as long as the region. The promise settles when nothing is written to it any more.
   */
  async readAsync(offset: number, bytes: Uint8Array): Promise<void> {
    const descriptor = this.#open();
    this.#reads++;
    try {
      for (let done = 0; done < bytes.length; ) {
        const length = Math.min(bytes.length - done, READ_CHUNK);
        const { bytesRead } = await readLater(descriptor, bytes, done, length, offset + done);
        if (bytesRead === 0) throw this.#shorter(offset + done);
        done += bytesRead;
      }
    } finally {
      this.#reads--;
      this.#closeUnread();
    }
  }

  /** The bytes of a region, mapped where that is possible. The region must lie within the file. */
  region(offset: number, length: number): Uint8Array {
    const descriptor = this.#open();
    if (length === 0) return new Uint8Array(0);
    return this.#map?.(descriptor, offset, length) ?? this.read(offset, length);
  }

  /** Closes the file. Regions handed out stay valid. */
  dispose(): void {
    this.#isDisposed = true;
    this.#closeUnread();
  }

  /** Closes a disposed file unless somebody reads it: the next file to be opened would be read under its descriptor. */
  #closeUnread(): void {
    if (!this.#isDisposed || this.#reads > 0 || this.#descriptor === null) return;
    closeSync(this.#descriptor);
    this.#descriptor = null;
  }

  #open(): number {
    if (this.#isDisposed || this.#descriptor === null) throw new DisposedError(this.path);
    return this.#descriptor;
  }

  #shorter(end: number): FileNotReadableError {
    return new FileNotReadableError(
      this.path,
      'open the checkpoint again when nothing writes to it',
      new RangeError(`it ends at byte ${end}, before the ${this.size} bytes it had`),
    );
  }
}
