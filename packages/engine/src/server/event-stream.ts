/**
 * Server-sent events with keep-alive comments and back-pressure.
 *
 * Events go straight to Node's response: through web streams each one would cost several times as much, and with many
 * clients that is the event loop's main load.
 */

import type { ServerResponse } from 'node:http';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import type { Context } from 'hono';
import { contain } from '../contain.ts';
import { toOpenAiError } from './errors/openai-error.ts';
import { logFailure, type Serving } from './serving.ts';

/** Writes one response's events. */
export interface EventStream {
  /**
   * Sends `data: JSON`, after an `event:` line where a name is given. What is sent in one turn of the event loop leaves
   * in one write. Resolves when the client can take more; at once, with nothing sent, when it has gone.
   */
  send(data: unknown, event?: string): Promise<void>;
  /** The same of what is JSON already. */
  sendJson(json: string, event?: string): Promise<void>;
  /** Sends `data: [DONE]`, OpenAI's end of a chat stream. */
  done(): Promise<void>;
}

/** A controller that aborts when the client goes away before it has its answer, at once where it has gone already. */
export function abortWithClient(context: Context): AbortController {
  const abort = new AbortController();
  const { signal } = context.req.raw;
  if (signal.aborted) abort.abort();
  else signal.addEventListener('abort', () => abort.abort(), { once: true });
  return abort;
}

/**
 * Answers with a stream of events. While `produce` is silent, a comment goes out every `keepAliveMs`, so that proxies
 * do not close the connection during a long prefill.
 *
 * @param abort Aborted if the client goes away before the end, or cannot be answered at all.
 * @param produce Sends the events, its own failures among them: a stream has no status left to change. What it throws
 * all the same is logged, and the stream ends.
 */
export function streamEvents(
  context: Context,
  serving: Serving,
  abort: AbortController,
  produce: (events: EventStream) => Promise<void>,
): Response {
  context.header('content-type', 'text/event-stream; charset=utf-8');
  context.header('cache-control', 'no-cache');
  // nginx would otherwise hold the events back.
  context.header('x-accel-buffering', 'no');
  const response = outgoingOf(context);
  try {
    response.writeHead(200, Object.fromEntries(context.body(null).headers));
  } catch (error) {
    // Nobody will read what is being generated.
    abort.abort();
    throw error;
  }
  const events = new ResponseEvents(response, serving, abort);
  contain(
    () => produce(events).finally(() => events.end()),
    (error) => {
      abort.abort();
      logFailure(serving, context, toOpenAiError(error));
    },
  );
  return RESPONSE_ALREADY_SENT;
}

/** Node's own response, which the HTTP server passes through the app. */
export function outgoingOf(context: Context): ServerResponse {
  return (context.env as { readonly outgoing: ServerResponse }).outgoing;
}

const AT_ONCE = Promise.resolve();

class ResponseEvents implements EventStream {
  readonly #response: ServerResponse;
  readonly #serving: Serving;
  readonly #keepAlive: NodeJS.Timeout;
  #text = '';
  #flushing = false;
  /** Resolves when the client has read what it was sent, or is gone; null while it can take more. */
  #blocked: Promise<void> | null = null;
  #lastWrite = performance.now();
  #ended = false;

  constructor(response: ServerResponse, serving: Serving, abort: AbortController) {
    this.#response = response;
    this.#serving = serving;
    this.#keepAlive = setInterval(() => this.#sendComment(), serving.keepAliveMs);
    const closed = (): void => {
      clearInterval(this.#keepAlive);
      if (this.#ended) return;
      this.#ended = true;
      abort.abort();
    };
    response.once('close', closed);
    if (response.destroyed) closed();
    // The headers go out even where the first event takes long.
    this.#flushSoon();
  }

  send(data: unknown, event?: string): Promise<void> {
    return this.sendJson(JSON.stringify(data), event);
  }

  sendJson(json: string, event?: string): Promise<void> {
    return this.#write(`${event === undefined ? '' : `event: ${event}\n`}data: ${json}\n\n`);
  }

  done(): Promise<void> {
    return this.#write('data: [DONE]\n\n');
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    clearInterval(this.#keepAlive);
    this.#response.end(this.#text);
  }

  #write(text: string): Promise<void> {
    if (this.#ended) return AT_ONCE;
    this.#text += text;
    this.#flushSoon();
    return this.#blocked ?? AT_ONCE;
  }

  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      if (!this.#ended && !this.#response.destroyed) this.#flush();
    });
  }

  #flush(): void {
    this.#lastWrite = performance.now();
    const text = this.#text;
    this.#text = '';
    if (text === '') this.#response.flushHeaders();
    else if (!this.#response.write(text)) this.#blocked ??= this.#untilRead();
  }

  #untilRead(): Promise<void> {
    this.#serving.metrics.blockedStreams(1);
    return new Promise((resolve) => {
      const settle = (): void => {
        this.#response.off('drain', settle).off('close', settle);
        this.#blocked = null;
        this.#serving.metrics.blockedStreams(-1);
        resolve();
      };
      this.#response.on('drain', settle).on('close', settle);
    });
  }

  #sendComment(): void {
    const silent = performance.now() - this.#lastWrite >= this.#serving.keepAliveMs;
    if (silent && this.#blocked === null) void this.#write(': keep-alive\n\n');
  }
}
