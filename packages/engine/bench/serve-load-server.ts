/** The server's side of serve-load: serves until told to stop, and measures its own event loop and memory. */

import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { Engine } from '../dist/engine.js';
import type { EngineOptions } from '../dist/options.js';
import { startServer } from '../dist/server/start-server.js';

/**
 * Percentiles of the time between two ticks of a timer, in milliseconds, as `monitorEventLoopDelay` records them: the
 * timer's own interval is part of every value, and nothing is subtracted.
 */
export interface EventLoopDelay {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Figures since the last sample. */
export interface ServerSample {
  /** By a timer of 1 ms: a block of n ms shows as n to n + 1. */
  readonly eventLoopDelay: EventLoopDelay;
  /** By a timer of 10 ms, the default of `monitorEventLoopDelay`: a block of n ms shows as n to n + 10. */
  readonly eventLoopDelay10: EventLoopDelay;
  /** Of the whole process, worker included. */
  readonly residentBytes: number;
  /** Processor time of the whole process, worker included, in seconds. */
  readonly cpuSeconds: number;
  /** Share of the time in which the main thread's event loop was busy, 0 to 1. */
  readonly eventLoopUtilization: number;
}

/** What is served, as JSON the program's only argument. Defaults to the embedded model. */
export interface LoadServerSettings {
  readonly model?: string | undefined;
  readonly options?: EngineOptions;
}

/** What the server says to its parent. */
export type LoadServerMessage =
  | { readonly type: 'listening'; readonly url: string; readonly vocabularySize: number }
  | { readonly type: 'sample'; readonly sample: ServerSample };

const NANOSECONDS_PER_MS = 1e6;
const MICROSECONDS_PER_S = 1e6;

const tell = (message: LoadServerMessage): void => {
  process.send?.(message);
};

function take(histogram: IntervalHistogram): EventLoopDelay {
  const delay = {
    p50: histogram.percentile(50) / NANOSECONDS_PER_MS,
    p99: histogram.percentile(99) / NANOSECONDS_PER_MS,
    max: histogram.max / NANOSECONDS_PER_MS,
  };
  histogram.reset();
  return delay;
}

const { model, options = {} } = JSON.parse(process.argv[2] ?? '{}') as LoadServerSettings;
let vocabularySize = 0;
const load = async (): Promise<Engine> => {
  const engine = await Engine.load(model, options);
  ({ vocabularySize } = engine.tokenizer);
  return engine;
};
const server = await startServer(load, model ?? 'pocket-dictionary', { port: 0 });
await server.ready;
const everyMs = monitorEventLoopDelay({ resolution: 1 });
const every10Ms = monitorEventLoopDelay({ resolution: 10 });
everyMs.enable();
every10Ms.enable();
let cpu = process.cpuUsage();
let utilization = performance.eventLoopUtilization();
process.on('message', (command) => {
  if (command === 'sample') {
    const { user, system } = process.cpuUsage(cpu);
    const eventLoopUtilization = performance.eventLoopUtilization(utilization).utilization;
    cpu = process.cpuUsage();
    utilization = performance.eventLoopUtilization();
    tell({
      type: 'sample',
      sample: {
        eventLoopDelay: take(everyMs),
        eventLoopDelay10: take(every10Ms),
        residentBytes: process.memoryUsage.rss(),
        cpuSeconds: (user + system) / MICROSECONDS_PER_S,
        eventLoopUtilization,
      },
    });
  } else if (command === 'stop') {
    void server.close().then(() => process.disconnect());
  }
});
tell({ type: 'listening', url: server.url, vocabularySize });
