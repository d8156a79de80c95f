/** Device memory for a launch that is checked: poisoned outputs between guards, and a workspace that is filled once. */

import { downloadBytes, uploadBytes } from '@switchyard/gpu';
import type { DeviceBuffer, DevicePointer, GpuDriver, GpuStream } from '@switchyard/gpu';
import { RouterError } from '../errors.ts';
import { ARRIVALS_BYTES } from './kernel/dispatch-plan-launches.ts';

/** Outputs of two ways to launch differ, or bytes around an output changed. Code `VERIFICATION_FAILED`. */
export class VerificationError extends RouterError {
  constructor(message: string) {
    super('VERIFICATION_FAILED', message);
  }
}

/** What outputs hold before a launch. */
export const POISON = 0xa5;
/** Poisoned bytes before and behind each output. */
const GUARD_BYTES = 256;

interface GuardedOutput {
  readonly name: string;
  readonly buffer: DeviceBuffer;
  readonly bytes: number;
  readonly expected: Uint8Array;
}

/** The memory of one launch, with a stream to run it on. */
export class GuardedMemory implements AsyncDisposable {
  readonly #driver: GpuDriver;
  readonly #stream: GpuStream;
  readonly #held: DeviceBuffer[] = [];
  readonly #outputs: GuardedOutput[] = [];

  constructor(driver: GpuDriver) {
    this.#driver = driver;
    this.#stream = driver.createStream();
  }

  /** A buffer with these bytes. */
  async upload(bytes: Uint8Array): Promise<DevicePointer> {
    const { pointer } = this.#hold(Math.max(bytes.byteLength, 1));
    if (bytes.byteLength > 0) await uploadBytes(this.#driver, this.#stream, pointer, bytes);
    return pointer;
  }

  /** A buffer between guards, for an output that has to come out as `expected`. */
  guarded(name: string, expected: ArrayBufferView): DevicePointer {
    const bytes = expected.byteLength;
    const buffer = this.#hold(bytes + 2 * GUARD_BYTES);
    this.#outputs.push({ name, buffer, bytes, expected: bytesOf(expected) });
    return buffer.pointer + BigInt(GUARD_BYTES);
  }

  /**
   * Filled once, for the launches after the first find out whether every launch leaves it as it has to be.
   *
   * @param clearedBytes at its start that a launch has to find 0. Defaults to those of a dispatch plan
   */
  workspace(bytes: number, clearedBytes = ARRIVALS_BYTES): DevicePointer {
    const { pointer } = this.#hold(bytes);
    this.#driver.fill(pointer, POISON, bytes, this.#stream);
    this.#driver.fill(pointer, 0, clearedBytes, this.#stream);
    return pointer;
  }

  /**
   * Enqueues a launch eagerly, and replays it twice from a captured graph.
   *
   * @throws VerificationError where an output is not as expected or a guard byte changed
   */
  async check(enqueue: (stream: GpuStream) => void): Promise<void> {
    const driver = this.#driver;
    const stream = this.#stream;
    const poison = (): void => {
      for (const { buffer } of this.#outputs) driver.fill(buffer.pointer, POISON, buffer.bytes, stream);
    };
    poison();
    enqueue(stream);
    await this.#compare('an eager launch');
    const graph = driver.capture(stream, () => enqueue(stream));
    try {
      for (const name of ['the first graph replay', 'the second graph replay']) {
        poison();
        graph.launch(stream);
        await this.#compare(name);
      }
    } finally {
      graph.destroy();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const buffer of this.#held) buffer.free();
    this.#stream.destroy();
  }

  #hold(bytes: number): DeviceBuffer {
    const buffer = this.#driver.allocate(bytes);
    this.#held.push(buffer);
    return buffer;
  }

  async #compare(launch: string): Promise<void> {
    for (const { name, buffer, bytes, expected } of this.#outputs) {
      const found = new Uint8Array(await downloadBytes(this.#driver, this.#stream, buffer.pointer, buffer.bytes));
      const guards = [found.subarray(0, GUARD_BYTES), found.subarray(GUARD_BYTES + bytes)];
      if (guards.some((guard) => guard.some((byte) => byte !== POISON))) {
        throw new VerificationError(`${launch} wrote outside its ${name}.`);
      }
      const at = firstDifference(found.subarray(GUARD_BYTES, GUARD_BYTES + bytes), expected);
      if (at !== -1) {
        throw new VerificationError(`${launch} gave other ${name} than route(), from byte ${at} of ${bytes} on.`);
      }
    }
  }
}

/** The bytes of an array, in place. */
export function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** The index of the first byte that differs; -1 where none does. */
export function firstDifference(left: Uint8Array, right: Uint8Array): number {
  return Buffer.compare(left, right) === 0 ? -1 : left.findIndex((byte, index) => byte !== right[index]);
}
