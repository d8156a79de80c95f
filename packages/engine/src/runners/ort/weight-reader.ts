import { readTensorBytes } from '@switchyard/models';
import type { Tensor } from '@switchyard/models';
import { WeightKernel } from './weight-kernel.ts';

/**
 * Reads tensors piece by piece into buffers that are used again, and knows how far a load is and where its time went.
 */
export class WeightReader {
  /** Bytes read so far. */
  doneBytes = 0;
  readMs = 0;
  convertMs = 0;
  sessionMs = 0;
  readonly #afterPiece: () => void;
  #buffer = new Uint8Array(0);
  #kernel: WeightKernel | null = null;
  readonly #targets = new Map<number, Uint8Array[]>();

  /** @param afterPiece called after every piece, some milliseconds of work; what it throws ends the load. */
  constructor(afterPiece: () => void = () => {}) {
    this.#afterPiece = afterPiece;
  }

  /**
   * Reads bytes `begin` to `end` (exclusive) of a tensor.
   *
   * @param target where to, default memory that is aligned to 8 bytes and valid until the next read without a target.
   * @throws FileNotReadableError where the file no longer holds the bytes
   */
  read(tensor: Tensor, begin: number, end: number, target = this.#scratch(end - begin)): Uint8Array {
    const started = performance.now();
    const bytes = readTensorBytes(tensor, begin, end, target);
    this.readMs += performance.now() - started;
    this.doneBytes += end - begin;
    return bytes;
  }

  /** The kernel that converts weights, made when it is first needed. */
  get kernel(): WeightKernel {
    this.#kernel ??= new WeightKernel();
    return this.#kernel;
  }

  /** Runs a conversion, which may read: its time without that of reading is added to `convertMs`. */
  convert<Result>(work: () => Result): Result {
    const [started, read] = [performance.now(), this.readMs];
    try {
      return work();
    } finally {
      this.convertMs += performance.now() - started - (this.readMs - read);
    }
  }

  /** Awaits the making of a session: its time is added to `sessionMs`. */
  async session<Result>(work: () => Promise<Result>): Promise<Result> {
    const started = performance.now();
    try {
      return await work();
    } finally {
      this.sessionMs += performance.now() - started;
      this.#afterPiece();
    }
  }

  /** Memory for what a weight becomes, with anything in it, for use until `giveBack`. */
  target(bytes: number): Uint8Array {
    return this.#targets.get(bytes)?.pop() ?? new Uint8Array(bytes);
  }

  /** Lets targets be used again: layers are alike. */
  giveBack(targets: readonly Uint8Array[]): void {
    for (const target of targets) {
      const free = this.#targets.get(target.length) ?? [];
      free.push(target);
      this.#targets.set(target.length, free);
    }
  }

  /** Counts bytes that were read without this reader. */
  skip(bytes: number): void {
    this.doneBytes += bytes;
  }

  /** Says that a piece is done. */
  piece(): void {
    this.#afterPiece();
  }

  /** Lets the memory go. */
  release(): void {
    this.#buffer = new Uint8Array(0);
    this.#kernel = null;
    this.#targets.clear();
  }

  #scratch(length: number): Uint8Array {
    if (this.#buffer.length < length) {
      this.#buffer = new Uint8Array(length);
    }
    return this.#buffer.subarray(0, length);
  }
}
