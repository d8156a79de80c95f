/**
 * Brings tensors from files to the device through page-locked memory, a piece being read while others are under way.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import type { DevicePointer, GpuDriver, GpuEvent, GpuStream, PinnedBuffer } from '@switchyard/gpu';
import { elementCount, readFloats, readTensorBytes, tensorByteLength } from '@switchyard/models';
import type { Tensor } from '@switchyard/models';
import type { WeightPart } from './weight-layout.ts';

const PIECE_BYTES = 8 * 2 ** 20;
const PIECES = 4;

interface Piece {
  readonly buffer: PinnedBuffer;
  /** Passed when the device has the piece. */
  readonly sent: GpuEvent;
  isUnderWay: boolean;
}

/** Uploads one model. */
export class WeightUploader {
  /** Bytes of tensors read so far. */
  doneBytes = 0;
  readMs = 0;
  convertMs = 0;
  readonly #driver: GpuDriver;
  readonly #stream: GpuStream;
  readonly #afterPiece: () => void;
  readonly #pieces: Piece[] = [];
  #next = 0;

  /** @param afterPiece called after every piece; what it throws ends the load. */
  constructor(driver: GpuDriver, stream: GpuStream, afterPiece: () => void) {
    this.#driver = driver;
    this.#stream = stream;
    this.#afterPiece = afterPiece;
  }

  /** Writes a part to the device. It is there when the stream has passed. */
  async write({ tensors, form }: WeightPart, destination: DevicePointer): Promise<void> {
    let end = destination;
    for (const tensor of tensors) {
      if (form === 'f32') end += BigInt(await this.#writeVector(tensor, end));
      else end += BigInt(await this.#writeBytes(tensor, end));
    }
  }

  /** Gives the page-locked memory back. What is under way must be done. */
  release(): void {
    for (const { buffer, sent } of this.#pieces.splice(0)) {
      sent.destroy();
      buffer.free();
    }
  }

  async #writeBytes(tensor: Tensor, destination: DevicePointer): Promise<number> {
    const length = tensorByteLength(tensor);
    for (let begin = 0; begin < length; begin += PIECE_BYTES) {
      const end = Math.min(length, begin + PIECE_BYTES);
      const piece = await this.#piece();
      const started = performance.now();
      readTensorBytes(tensor, begin, end, new Uint8Array(piece.buffer.memory, 0, end - begin));
      this.readMs += performance.now() - started;
      this.#send(piece, destination + BigInt(begin), end - begin);
      this.doneBytes += end - begin;
      this.#afterPiece();
    }
    return length;
  }

  /** Numbers of any kind as f32. */
  async #writeVector(tensor: Tensor, destination: DevicePointer): Promise<number> {
    const elements = elementCount(tensor);
    const most = PIECE_BYTES / 4;
    for (let first = 0; first < elements; first += most) {
      const count = Math.min(most, elements - first);
      const piece = await this.#piece();
      const started = performance.now();
      new Float32Array(piece.buffer.memory, 0, count).set(readFloats(tensor, first, count));
      this.convertMs += performance.now() - started;
      this.#send(piece, destination + BigInt(4 * first), 4 * count);
      this.doneBytes += (tensorByteLength(tensor) / elements) * count;
      this.#afterPiece();
    }
    return 4 * elements;
  }

  /** The piece that was sent longest ago, once it is free. */
  async #piece(): Promise<Piece> {
    let piece = this.#pieces[this.#next];
    if (piece === undefined) {
      piece = {
        buffer: this.#driver.allocatePinned(PIECE_BYTES),
        sent: this.#driver.createEvent({ timing: false }),
        isUnderWay: false,
      };
      this.#pieces.push(piece);
    }
    this.#next = (this.#next + 1) % PIECES;
    while (piece.isUnderWay && !piece.sent.hasPassed()) await nextTurn();
    return piece;
  }

  #send(piece: Piece, destination: DevicePointer, bytes: number): void {
    this.#driver.copyToDevice(destination, piece.buffer.pointer, bytes, this.#stream);
    piece.sent.record(this.#stream);
    piece.isUnderWay = true;
  }
}
