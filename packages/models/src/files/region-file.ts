import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { DisposedError, FileNotReadableError } from '../errors.ts';
import { loadMemoryMap, type MapRegion } from './memory-map.ts';

/** The largest number of bytes asked of the system in one read. */
const READ_CHUNK = 1 << 30;

/** A file whose parts are mapped or, where mapping is not to be had, read one by one; never the whole at once. */
export class RegionFile {
  readonly path: string;
  /** Bytes in the file when it was opened. */
  readonly size: number;
  #descriptor: number | null;
  readonly #map: MapRegion | null;

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
      if (got === 0) {
        throw new FileNotReadableError(
          this.path,
          'open the checkpoint again when nothing writes to it',
          new RangeError(`it ends at byte ${offset + done}, before the ${this.size} bytes it had`),
        );
      }
      done += got;
    }
    return bytes;
  }

  /** The bytes of a region, mapped where that is possible. The region must lie within the file. */
  region(offset: number, length: number): Uint8Array {
    const descriptor = this.#open();
    if (length === 0) return new Uint8Array(0);
    return this.#map?.(descriptor, offset, length) ?? this.read(offset, length);
  }

  /** Closes the file. Regions handed out stay valid. */
  dispose(): void {
    if (this.#descriptor === null) return;
    closeSync(this.#descriptor);
    this.#descriptor = null;
  }

  #open(): number {
    if (this.#descriptor === null) throw new DisposedError(this.path);
    return this.#descriptor;
  }
}
