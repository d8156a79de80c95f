/** The server's side of serve-load: serves until told to stop, and measures its own event loop and memory. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Engine } from '../src/engine.ts';
import { startServer } from '../src/server/start-server.ts';

/** Figures since the last sample. */
export interface ServerSample {
  readonly eventLoopDelayP99Ms: number;
  /** Of the whole process, worker included. */
  readonly residentBytes: number;
}

/** What the server says to its parent. */
export type LoadServerMessage =
  | { readonly type: 'listening'; readonly url: string }
  | { readonly type: 'sample'; readonly sample: ServerSample };

const NANOSECONDS_PER_MS = 1e6;
const RESOLUTION_MS = 10;

const tell = (message: LoadServerMessage): void => {
  process.send?.(message);
};

const server = await startServer(() => Engine.load(), 'pocket-dictionary', { port: 0 });
await server.ready;
const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
delay.enable();
process.on('message', (command) => {
  if (command === 'sample') {
    // The histogram holds whole intervals; what exceeds the resolution is delay.
    const eventLoopDelayP99Ms = Math.max(0, delay.percentile(99) / NANOSECONDS_PER_MS - RESOLUTION_MS);
    delay.reset();
    tell({ type: 'sample', sample: { eventLoopDelayP99Ms, residentBytes: process.memoryUsage.rss() } });
  } else if (command === 'stop') {
    void server.close().then(() => process.disconnect());
  }
});
tell({ type: 'listening', url: server.url });
