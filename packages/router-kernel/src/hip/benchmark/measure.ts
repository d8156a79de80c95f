/** Timing on the device: captured graphs of many launches, replayed between events. */

import type { GpuDriver, GpuStream } from '@switchyard/gpu';

/** Microseconds a launch. */
export interface Timing {
  readonly median: number;
  /** The 99th percentile over replays of the mean of a replay's launches. */
  readonly p99: number;
}

/** How much is measured. */
export interface MeasureOptions {
  /** Launches in a graph. */
  readonly launches: number;
  /** Timed replays of it. */
  readonly replays: number;
}

const WARM_UP_REPLAYS = 5;
const COPIES = 20;

/**
 * Times one launch among many.
 *
 * @param enqueue enqueues launch number `index` of a graph
 */
export async function measureLaunches(
  driver: GpuDriver,
  stream: GpuStream,
  { launches, replays }: MeasureOptions,
  enqueue: (index: number) => void,
): Promise<Timing> {
  const graph = driver.capture(stream, () => {
    for (let index = 0; index < launches; index += 1) enqueue(index);
  });
  const [start, end] = [driver.createEvent(), driver.createEvent()];
  try {
    for (let replay = 0; replay < WARM_UP_REPLAYS; replay += 1) graph.launch(stream);
    await stream.synchronize();
    const samples: number[] = [];
    for (let replay = 0; replay < replays; replay += 1) {
      start.record(stream);
      graph.launch(stream);
      end.record(stream);
      end.synchronize();
      samples.push((end.elapsedSince(start) * 1000) / launches);
    }
    samples.sort((a, b) => a - b);
    return { median: quantile(samples, 0.5), p99: quantile(samples, 0.99) };
  } finally {
    start.destroy();
    end.destroy();
    graph.destroy();
  }
}

/**
 * Bytes read and written a second by the runtime's own device-to-device copy of `bytes` bytes. Copies are enqueued one
 * by one: inside a graph a runtime may give them to a copy engine, which is slower than the memory.
 */
export async function measureCopyBandwidth(driver: GpuDriver, stream: GpuStream, bytes: number): Promise<number> {
  const source = driver.allocate(bytes);
  const target = driver.allocate(bytes);
  const [start, end] = [driver.createEvent(), driver.createEvent()];
  try {
    driver.fill(source.pointer, 0x5a, bytes, stream);
    const samples: number[] = [];
    for (let copy = 0; copy < WARM_UP_REPLAYS + COPIES; copy += 1) {
      start.record(stream);
      driver.copyOnDevice(target.pointer, source.pointer, bytes, stream);
      end.record(stream);
      end.synchronize();
      if (copy >= WARM_UP_REPLAYS) samples.push(end.elapsedSince(start));
    }
    samples.sort((a, b) => a - b);
    return (2 * bytes) / (quantile(samples, 0.5) * 1e-3);
  } finally {
    start.destroy();
    end.destroy();
    target.free();
    source.free();
  }
}

/** The value below which a share of the sorted samples lies; nearest rank. */
export function quantile(sorted: readonly number[], share: number): number {
  const rank = Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1));
  return sorted[rank] ?? Number.NaN;
}
