/**
 * Brings tensors from files to the device through a ring of page-locked pieces: some are being read while others are under
 * way to the device. No page of a file's mapping reaches the driver, which some drivers copy from at a crawl.
 */

import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { DevicePointer, GpuDriver, GpuEvent, GpuStream, PinnedBuffer } from '@switchyard/gpu';
import { decodeFloats, elementCount, readTensorBytesAsync, tensorByteLength } from '@switchyard/models';
import type { Tensor } from '@switchyard/models';
import type { WeightPart } from './weight-layout.ts';

/** Bytes of a piece unless the caller says otherwise. */
const PIECE_BYTES = 8 * 2 ** 20;
/**
 * Pieces of the ring: as many as libuv's pool has threads to read them unless its user wants others, and as many again that
 * are under way to the device or wait for a thread.
 */
export const PIECES = 8;
/** How long to look away while a piece is under way, in milliseconds: all of the ring takes longer on any bus. */
const LOOK_AWAY_MS = 1;

/** A part of a model, to be written to one place of the device. */
export interface WeightTransfer {
  readonly part: WeightPart;
  readonly destination: DevicePointer;
  /** What it is a part of, such as 'head' or 'layer 3 of 24'. */
  readonly what: string;
  /** Called when all of it is enqueued: what the stream is given from then on finds it there. */
  readonly sent?: (() => void) | undefined;
}

/** How far an upload is. */
export interface UploadProgress {
  /** What the last piece was a part of. */
  readonly what: string;
  /** Bytes of tensors that are read. */
  readonly doneBytes: number;
  /** Milliseconds in which something was being read. */
  readonly readMs: number;
  /** Milliseconds spent on widening vectors. */
  readonly convertMs: number;
}

/** Part of one tensor that fits a piece of the ring. */
interface TensorPiece {
  readonly tensor: Tensor;
  readonly form: WeightPart['form'];
  /** First byte of the tensor, and how many. */
  readonly begin: number;
  readonly bytes: number;
  readonly destination: DevicePointer;
  readonly what: string;
  readonly enqueued: () => void;
}

/** Page-locked memory of the ring. */
interface RingPiece {
  readonly buffer: PinnedBuffer;
  /** Passed when the device has what was sent from it. */
  readonly sent: GpuEvent;
  isUnderWay: boolean;
}

/** Uploads one model. */
export class WeightUploader {
  readonly #driver: GpuDriver;
  readonly #stream: GpuStream;
  readonly #afterPiece: (progress: UploadProgress) => void;
  readonly #pieceBytes: number;
  readonly #ring: RingPiece[] = [];
  #doneBytes = 0;
  #convertMs = 0;
  readonly #reading = new BusyClock();
  #hasFailed = false;

  /**
   * @param afterPiece called after every piece; what it throws ends the upload.
   * @param pieceBytes bytes of a piece of the ring, a multiple of 16. Defaults to 8 MiB.
   */
  constructor(
    driver: GpuDriver,
    stream: GpuStream,
    afterPiece: (progress: UploadProgress) => void,
    pieceBytes: number = PIECE_BYTES,
  ) {
    this.#driver = driver;
    this.#stream = stream;
    this.#afterPiece = afterPiece;
    this.#pieceBytes = pieceBytes;
  }

  /**
   * Writes all transfers, which are taken one by one as room for them comes free. Pieces are enqueued as they are read, in
   * any order; all are there when the stream has passed. When the promise settles nothing is being read any more.
   *
   * @throws what reading a tensor, `transfers`, `sent` and `afterPiece` throw, the first of them.
   */
  async upload(transfers: Iterable<WeightTransfer>): Promise<void> {
    const pieces = piecesOf(transfers, this.#pieceBytes);
    const failures: unknown[] = [];
    const lane = async (): Promise<void> => {
      try {
        await this.#uploadPieces(pieces);
      } catch (error) {
        this.#hasFailed = true;
        failures.push(error);
      }
    };
    await Promise.all(Array.from({ length: PIECES }, lane));
    if (failures.length > 0) throw failures[0];
  }

  /** Gives the page-locked memory back. What is under way must be done. */
  release(): void {
    for (const { buffer, sent } of this.#ring.splice(0)) {
      sent.destroy();
      buffer.free();
    }
  }

  /** Takes pieces through memory of its own, one after the other, while others do the same. */
  async #uploadPieces(pieces: Iterable<TensorPiece>): Promise<void> {
    let place: RingPiece | null = null;
    for (const piece of pieces) {
      place ??= this.#ringPiece();
      // Lets the thread hear that it is to stop, also where nothing is read from a file.
      await nextTurn();
      while (place.isUnderWay && !place.sent.hasPassed()) await sleep(LOOK_AWAY_MS);
      if (this.#hasFailed) return;
      const bytes = await this.#read(piece, place.buffer.memory);
      if (this.#hasFailed) return;
      this.#driver.copyToDevice(piece.destination, place.buffer.pointer, bytes, this.#stream);
      place.sent.record(this.#stream);
      place.isUnderWay = true;
      piece.enqueued();
      this.#doneBytes += piece.bytes;
      this.#afterPiece({
        what: piece.what,
        doneBytes: this.#doneBytes,
        readMs: this.#reading.milliseconds,
        convertMs: this.#convertMs,
      });
    }
  }

  /** Fills page-locked memory; returns the bytes that are to be sent. */
  async #read({ tensor, form, begin, bytes }: TensorPiece, memory: ArrayBuffer): Promise<number> {
    const raw = form === 'raw' ? new Uint8Array(memory, 0, bytes) : new Uint8Array(bytes);
    this.#reading.begin();
    try {
      await readTensorBytesAsync(tensor, begin, raw);
    } finally {
      this.#reading.end();
    }
    if (form === 'raw') return bytes;
    const started = performance.now();
    const values = new Float32Array(memory, 0, bytes / bytesOfElement(tensor));
    decodeFloats(raw, tensor.dtype, values);
    this.#convertMs += performance.now() - started;
    return values.byteLength;
  }

  #ringPiece(): RingPiece {
    const buffer = this.#driver.allocatePinned(this.#pieceBytes);
    let sent: GpuEvent;
    try {
      sent = this.#driver.createEvent({ timing: false });
    } catch (error) {
      buffer.free();
      throw error;
    }
    const piece = { buffer, sent, isUnderWay: false };
    this.#ring.push(piece);
    return piece;
  }
}

/** Adds up the time in which at least one thing is under way. */
class BusyClock {
  #underWay = 0;
  #since = 0;
  #passed = 0;

  get milliseconds(): number {
    return this.#passed + (this.#underWay > 0 ? performance.now() - this.#since : 0);
  }

  begin(): void {
    if (this.#underWay++ === 0) this.#since = performance.now();
  }

  end(): void {
    if (--this.#underWay === 0) this.#passed += performance.now() - this.#since;
  }
}

/** The pieces of all transfers, in their order; no piece has bytes of two tensors. */
function* piecesOf(transfers: Iterable<WeightTransfer>, pieceBytes: number): Generator<TensorPiece> {
  for (const { part, destination, what, sent } of transfers) {
    const { form } = part;
    let left = 0;
    const enqueued = (): void => {
      left--;
      if (left === 0) sent?.();
    };
    const pieces: TensorPiece[] = [];
    let to = destination;
    for (const tensor of part.tensors) {
      const length = tensorByteLength(tensor);
      const elementBytes = bytesOfElement(tensor);
      // Bytes on the device for each byte of the tensor.
      const growth = form === 'f32' ? 4 / elementBytes : 1;
      const most = pieceBytes / Math.max(1, growth);
      for (let begin = 0; begin < length; begin += most) {
        const bytes = Math.min(most, length - begin);
        pieces.push({ tensor, form, begin, bytes, destination: to + BigInt(begin * growth), what, enqueued });
      }
      to += BigInt(length * growth);
    }
    left = pieces.length;
    yield* pieces;
  }
}

function bytesOfElement(tensor: Tensor): number {
  return tensorByteLength(tensor) / elementCount(tensor);
}
