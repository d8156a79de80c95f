/**
 * Server-sent events with keep-alive comments.
 *
 * @module
 */
import type { Context } from 'hono';
import { stream } from 'hono/streaming';

/** Writes one response's events. */
export interface EventStream {
  /** Sends `data: JSON`, after an `event:` line where a name is given. Resolves when the client can take more. */
  send(data: unknown, event?: string): Promise<void>;
  /** Sends `data: [DONE]`, OpenAI's end of a chat stream. */
  done(): Promise<void>;
}

/**
 * Answers with a stream of events. While `produce` is silent, a comment goes out every `keepAliveMs`, so that proxies
 * do not close the connection during a long prefill.
 *
 * @param onDisconnect Called once if the client goes away before the end.
 * @param produce Sends the events; must not throw (a stream has no status left to change).
 */
export function streamEvents(
  context: Context,
  keepAliveMs: number,
  onDisconnect: () => void,
  produce: (events: EventStream) => Promise<void>,
): Response {
  context.header('content-type', 'text/event-stream; charset=utf-8');
  context.header('cache-control', 'no-cache');
  // nginx would otherwise hold the events back.
  context.header('x-accel-buffering', 'no');
  return stream(context, async (output) => {
    let last = performance.now();
    output.onAbort(onDisconnect);
    const write = async (text: string): Promise<void> => {
      last = performance.now();
      await output.write(text);
    };
    const keepAlive = setInterval(() => {
      if (performance.now() - last >= keepAliveMs && !output.aborted && !output.closed) void write(': keep-alive\n\n');
    }, keepAliveMs);
    try {
      await produce({
        send: (data, event) =>
          write(`${event === undefined ? '' : `event: ${event}\n`}data: ${JSON.stringify(data)}\n\n`),
        done: () => write('data: [DONE]\n\n'),
      });
    } finally {
      clearInterval(keepAlive);
    }
  });
}
