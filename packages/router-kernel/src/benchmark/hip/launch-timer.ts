/** Timing on the device: captured graphs of many launches, replayed between events. */

import { downloadBytes } from '@switchyard/gpu';
import type { GpuDriver, GpuEvent, GpuGraph, GpuStream } from '@switchyard/gpu';

/** How much is measured. */
export interface MeasureOptions {
  /** Launches in a graph. */
  readonly launches: number;
  /** Timed replays of it. */
  readonly replays: number;
}

/** Replays of a contender's turn: enough for its code to be in the caches again, few enough to take many turns. */
export const REPLAYS_PER_TURN = 10;

/** One launch among many, timed by replays of a graph that holds them. */
export class LaunchTimer implements Disposable {
  readonly #stream: GpuStream;
  readonly #launches: number;
  readonly #graph: GpuGraph;
  readonly #start: GpuEvent;
  readonly #end: GpuEvent;

  /** @param enqueue enqueues launch number `index` of the graph */
  constructor(driver: GpuDriver, stream: GpuStream, launches: number, enqueue: (index: number) => void) {
    this.#stream = stream;
    this.#launches = launches;
    this.#graph = driver.capture(stream, () => {
      for (let index = 0; index < launches; index += 1) enqueue(index);
    });
    this.#start = driver.createEvent();
    this.#end = driver.createEvent();
  }

  /** Microseconds a launch, one entry a replay, after one replay that does not count. */
  sample(replays: number): readonly number[] {
    this.#graph.launch(this.#stream);
    return Array.from({ length: replays }, () => {
      this.#start.record(this.#stream);
      this.#graph.launch(this.#stream);
      this.#end.record(this.#stream);
      this.#end.synchronize();
      return (this.#end.elapsedSince(this.#start) * 1000) / this.#launches;
    });
  }

  [Symbol.dispose](): void {
    this.#start.destroy();
    this.#end.destroy();
    this.#graph.destroy();
  }
}

/** What a turn of so many replays in all gives: `REPLAYS_PER_TURN` of them, the last turn the rest. */
export function replaysOfTurn(replays: number, round: number): number {
  return round < 0 ? REPLAYS_PER_TURN : Math.min(REPLAYS_PER_TURN, replays - round * REPLAYS_PER_TURN);
}

/** Turns that so many replays take. */
export function turnsOf(replays: number): number {
  return Math.ceil(replays / REPLAYS_PER_TURN);
}

/** Copies that are timed, after some that are not. */
const COPIES = { warmUp: 5, timed: 20 };
const COPIED_BYTE = 0x5a;
/** Bytes at the end of a copy that are looked at. */
const CHECKED_BYTES = 65536;

/**
 * The runtime's own device-to-device copy of `bytes` bytes: gigabytes (10^9) read and written a second, a sample a copy,
 * and what is wrong with the copy. Copies are enqueued one by one: inside a graph a runtime may give them to a copy
 * engine, which is slower than the memory.
 */
export async function measureCopies(
  driver: GpuDriver,
  stream: GpuStream,
  bytes: number,
): Promise<{ readonly samples: readonly number[]; readonly problems: readonly string[] }> {
  const source = driver.allocate(bytes);
  const target = driver.allocate(bytes);
  const [start, end] = [driver.createEvent(), driver.createEvent()];
  try {
    driver.fill(source.pointer, COPIED_BYTE, bytes, stream);
    driver.fill(target.pointer, 0, bytes, stream);
    const samples: number[] = [];
    for (let copy = 0; copy < COPIES.warmUp + COPIES.timed; copy += 1) {
      start.record(stream);
      driver.copyOnDevice(target.pointer, source.pointer, bytes, stream);
      end.record(stream);
      end.synchronize();
      if (copy >= COPIES.warmUp) samples.push((2 * bytes) / (end.elapsedSince(start) * 1e6));
    }
    const checked = Math.min(bytes, CHECKED_BYTES);
    const tail = await downloadBytes(driver, stream, target.pointer + BigInt(bytes - checked), checked);
    const isCopied = new Uint8Array(tail).every((byte) => byte === COPIED_BYTE);
    return { samples, problems: isCopied ? [] : ['the end of the copy is not the end of the source'] };
  } finally {
    start.destroy();
    end.destroy();
    target.free();
    source.free();
  }
}
