/**
 * The safetensors format: an unsigned 64-bit little-endian header length, a JSON header, and the tensors' bytes one
 * after the other without holes. See https://github.com/huggingface/safetensors#format.
 */

import { DisposedError, InvalidSafetensorsError, ModelsError } from '../errors.ts';
import { HEAD_BYTES, refuseForeignFile } from './foreign-file.ts';
import { isJsonObject, parseJsonText } from './json-text.ts';
import { RegionFile } from './region-file.ts';
import type { MapRegion } from './memory-map.ts';
import { DTYPE_BITS, type Tensor, type TensorDtype } from '../tensors/tensor.ts';

/** The longest header that the format's reference implementation accepts, in bytes. */
export const MAX_HEADER_BYTES = 100_000_000;

/** One tensor's entry in a header. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: TensorDtype;
  readonly shape: readonly number[];
  /** First byte, counted from the end of the header. */
  readonly begin: number;
  /** One past the last byte. */
  readonly end: number;
}

/** A validated header. */
export interface SafetensorsHeader {
  /** In the order of their bytes. */
  readonly entries: readonly TensorEntry[];
  readonly metadata: ReadonlyMap<string, string>;
  /** Where the tensors' bytes begin in the file. */
  readonly dataStart: number;
}

/** An open safetensors file. */
export interface SafetensorsFile extends Disposable {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly metadata: ReadonlyMap<string, string>;
  /** Bytes of all tensors. */
  readonly tensorBytes: number;
  /** Closes the file; afterwards `bytes` of its tensors throws DisposedError. Views taken before stay readable. */
  dispose(): void;
}

/** How to open a safetensors file. */
export interface SafetensorsOptions {
  /** How to map tensors. Default: the system's mmap. Null reads each tensor into a buffer of its own when it is asked for. */
  readonly map?: MapRegion | null;
}

/**
 * Opens one safetensors file. Only the header is read; a tensor's bytes are mapped when they are first asked for.
 *
 * @throws FileNotReadableError, ForeignFileError, InvalidSafetensorsError, InvalidJsonError or DuplicateJsonKeyError
 */
export function openSafetensors(path: string, options: SafetensorsOptions = {}): SafetensorsFile {
  const file = options.map === undefined ? new RegionFile(path) : new RegionFile(path, options.map);
  try {
    const { entries, metadata, dataStart } = readOwnHeader(file);
    const tensors = new Map<string, FileTensor>();
    for (const entry of entries) tensors.set(entry.name, new FileTensor(file, dataStart, entry));
    const dispose = (): void => {
      file.dispose();
      for (const tensor of tensors.values()) tensor.release();
    };
    return {
      path,
      tensors,
      metadata,
      tensorBytes: file.size - dataStart,
      dispose,
      [Symbol.dispose]: dispose,
    };
  } catch (error) {
    file.dispose();
    throw error;
  }
}

/** A tensor whose bytes are fetched from its file when they are first asked for. */
class FileTensor implements Tensor {
  readonly name: string;
  readonly dtype: TensorDtype;
  readonly shape: readonly number[];
  readonly #file: RegionFile;
  readonly #offset: number;
  readonly #length: number;
  #bytes: Uint8Array | null = null;
  #released = false;

  constructor(file: RegionFile, dataStart: number, entry: TensorEntry) {
    this.name = entry.name;
    this.dtype = entry.dtype;
    this.shape = entry.shape;
    this.#file = file;
    this.#offset = dataStart + entry.begin;
    this.#length = entry.end - entry.begin;
  }

  get bytes(): Uint8Array {
    if (this.#released) throw new DisposedError(`Tensor ${this.name} of ${this.#file.path}`);
    this.#bytes ??= this.#file.region(this.#offset, this.#length);
    return this.#bytes;
  }

  read(begin: number, end: number, target?: Uint8Array): Uint8Array {
    if (this.#released) throw new DisposedError(`Tensor ${this.name} of ${this.#file.path}`);
    return this.#file.read(this.#offset + begin, end - begin, target);
  }

  async readAsync(begin: number, target: Uint8Array): Promise<void> {
    if (this.#released) throw new DisposedError(`Tensor ${this.name} of ${this.#file.path}`);
    await this.#file.readAsync(this.#offset + begin, target);
  }

  release(): void {
    this.#released = true;
    this.#bytes = null;
  }
}

/** Reads the header. Where there is none, and the file is something else, the error says what. */
function readOwnHeader(file: RegionFile): SafetensorsHeader {
  try {
    return readHeader(file);
  } catch (error) {
    if (!(error instanceof ModelsError)) throw error;
    refuseForeignFile(file.read(0, Math.min(HEAD_BYTES, file.size)), file.path, 'a safetensors file');
    throw error;
  }
}

function readHeader(file: RegionFile): SafetensorsHeader {
  const { path, size } = file;
  if (size < 8) {
    throw new InvalidSafetensorsError(path, 'file-too-small', `it has ${size} bytes, a header needs 8 at least`);
  }
  const lengthBytes = file.read(0, 8);
  const length = new DataView(lengthBytes.buffer).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw new InvalidSafetensorsError(
      path,
      'header-too-large',
      `it claims a header of ${length} bytes, the format allows ${MAX_HEADER_BYTES}`,
    );
  }
  const headerBytes = Number(length);
  if (headerBytes > size - 8) {
    throw new InvalidSafetensorsError(
      path,
      'header-past-end',
      `it claims a header of ${headerBytes} bytes and has ${size} in all`,
    );
  }
  return parseSafetensorsHeader(file.read(8, headerBytes), size, path);
}

/**
 * Parses and validates the JSON header of a safetensors file.
 *
 * @param header the header's bytes, without the length before them.
 * @param fileSize bytes of the whole file, length and header included.
 * @param path names the file in errors.
 * @throws InvalidSafetensorsError, InvalidJsonError or DuplicateJsonKeyError
 */
export function parseSafetensorsHeader(header: Uint8Array, fileSize: number, path: string): SafetensorsHeader {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(header);
  } catch {
    throw new InvalidSafetensorsError(path, 'header-not-utf8', 'the header is no UTF-8');
  }
  if (!text.startsWith('{')) {
    throw new InvalidSafetensorsError(
      path,
      'header-not-object',
      `the header begins with ${JSON.stringify(text.slice(0, 8))} instead of {`,
    );
  }
  const json = parseJsonText(text, `${path} (header)`);
  if (!isJsonObject(json)) throw new InvalidSafetensorsError(path, 'header-not-object', 'the header is no JSON object');

  const metadata = parseMetadata(json['__metadata__'], path);
  const entries: TensorEntry[] = [];
  for (const [name, value] of Object.entries(json)) {
    if (name !== '__metadata__') entries.push(parseEntry(name, value, path));
  }
  // Tensors without elements share their offset with the one that follows.
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  const dataStart = 8 + header.byteLength;
  checkCoverage(entries, fileSize - dataStart, path);
  return { entries, metadata, dataStart };
}

function parseMetadata(value: unknown, path: string): ReadonlyMap<string, string> {
  const metadata = new Map<string, string>();
  // The format's reference implementation reads null as none.
  if (value === undefined || value === null) return metadata;
  if (!isJsonObject(value)) throw new InvalidSafetensorsError(path, 'metadata', '__metadata__ is no object');
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') {
      throw new InvalidSafetensorsError(path, 'metadata', `__metadata__ has no text under ${JSON.stringify(key)}`);
    }
    metadata.set(key, text);
  }
  return metadata;
}

function parseEntry(name: string, value: unknown, path: string): TensorEntry {
  if (!isJsonObject(value)) throw new InvalidSafetensorsError(path, 'tensor-entry', 'its entry is no object', name);
  const { dtype, shape, data_offsets: offsets } = value;
  if (!isTensorDtype(dtype)) {
    const known = Object.keys(DTYPE_BITS).join(', ');
    const found = typeof dtype === 'string' ? dtype.slice(0, 40) : typeof dtype;
    throw new InvalidSafetensorsError(path, 'dtype', `its dtype is ${found}, known are ${known}`, name);
  }
  if (!isSizeList(shape)) {
    throw new InvalidSafetensorsError(path, 'shape', 'its shape is no list of whole numbers from 0 to 2^53 - 1', name);
  }
  const [begin, end] = isSizeList(offsets) && offsets.length === 2 ? offsets : [];
  if (begin === undefined || end === undefined || begin > end) {
    throw new InvalidSafetensorsError(path, 'offsets', 'its data_offsets are no pair of ascending whole numbers', name);
  }
  // BigInt, because the product of a lying shape may pass 2^53 and wrap round to something plausible.
  const bits = shape.reduce((product, size) => product * BigInt(size), BigInt(DTYPE_BITS[dtype]));
  if (bits !== 8n * BigInt(end - begin)) {
    throw new InvalidSafetensorsError(
      path,
      'size-mismatch',
      `its shape [${shape.join(', ')}] of ${dtype} takes ${describeBits(bits)}, its data_offsets give it ${end - begin}`,
      name,
    );
  }
  return { name, dtype, shape, begin, end };
}

function describeBits(bits: bigint): string {
  return bits % 8n === 0n ? `${bits / 8n} bytes` : `${bits} bits`;
}

function isTensorDtype(value: unknown): value is TensorDtype {
  return typeof value === 'string' && Object.hasOwn(DTYPE_BITS, value);
}

function isSizeList(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

/** The format allows neither holes nor overlaps nor bytes after the last tensor. */
function checkCoverage(entries: readonly TensorEntry[], available: number, path: string): void {
  let covered = 0;
  for (const { name, begin, end } of entries) {
    if (end > available) {
      throw new InvalidSafetensorsError(
        path,
        'past-end',
        `it ends at byte ${end} of the data, which has ${available}`,
        name,
      );
    }
    if (begin !== covered) {
      const fault = begin > covered ? 'hole' : 'overlap';
      throw new InvalidSafetensorsError(
        path,
        fault,
        `it begins at byte ${begin} of the data, the tensor before it ends at ${covered}`,
        name,
      );
    }
    covered = end;
  }
  if (covered !== available) {
    throw new InvalidSafetensorsError(
      path,
      'trailing-bytes',
      `its tensors end at byte ${covered} of the data, which has ${available}`,
    );
  }
}
