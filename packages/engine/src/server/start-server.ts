/**
 * Binds the app to a port and shuts it down without losing requests. Installs no signal handlers: the CLI does.
 */

import { createServer, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { basename } from 'node:path';
import type { Engine } from '../engine.ts';
import { reasonOf } from '../contain.ts';
import { DisposedError, LoadError } from '../errors.ts';
import { containedLogger, type Logger, SILENT_LOGGER } from '../logger.ts';
import { createApp } from './app.ts';
import { answerBrokenRequests, answerExpectations, listenerOf } from './broken-requests.ts';
import { EngineHolder, type LoadEngine, type ServerState } from './engine-holder.ts';
import { ServerMetrics } from './metrics.ts';
import { BackgroundResponses } from './background-responses.ts';
import { ReasoningSeal } from './reasoning-seal.ts';
import { ResponseStore } from './response-store.ts';
import {
  LOGGED_CHARACTERS_PER_BODY_BYTE,
  MAX_HEADER_BYTES,
  MAX_STORED_CHARACTERS,
  REQUEST_CHECK_MS,
  SERVER_DEFAULTS,
  type ServerOptions,
} from './options.ts';
import { type Serving, unixSeconds } from './serving.ts';

/** A server that listens. */
export interface RunningServer extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** Such as `http://127.0.0.1:8000`. */
  readonly url: string;
  readonly state: ServerState;
  /** The first engine, once it is loaded; rejects where it cannot be, or where the server is closed before. */
  readonly ready: Promise<Engine>;
  /** Takes no new requests, waits for those under way (at most `drainMs`), and frees the engine. */
  close(): Promise<void>;
}

const IDLE_SWEEP_MS = 100;

/** Without a listener, an error of one response's stream would end the process. The socket's end tells the rest. */
function surviveBrokenResponses(server: Server, logger: Required<Logger>): void {
  server.on('request', (_, response: ServerResponse) => {
    response.on('error', (error) => logger.warn('response failed', { reason: reasonOf(error) }));
  });
}

/** Closes connections whose client has read nothing for a while although something waits for it. */
function cutOffStalledReaders(server: Server, stalledReaderMs: number, onStalled: () => void): void {
  server.on('request', (_, response: ServerResponse) => {
    // Node's timer looks at the socket's progress in both directions; silence alone may be a long prefill.
    response.setTimeout(stalledReaderMs, () => {
      if (response.socket === null || response.socket.writableLength === 0) return;
      onStalled();
      response.socket.destroy();
    });
  });
}

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const advice =
        error.code === 'EADDRINUSE' ? 'choose another port with --port' : 'choose another --host or --port';
      reject(new LoadError(`Cannot listen on ${host}:${port} · ${error.message} · ${advice}`, 'CANNOT_LISTEN', error));
    });
    server.listen(port, host, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}

/**
 * The connections of a server that have said nothing yet. Clients open some ahead of their requests, and Node counts
 * those among the busy ones.
 */
class SilentConnections {
  readonly #open = new Set<Socket>();

  constructor(server: Server) {
    server.on('connection', (socket) => {
      this.#open.add(socket);
      socket.once('close', () => this.#open.delete(socket));
    });
  }

  close(): void {
    for (const socket of this.#open) if (socket.bytesRead === 0) socket.destroy();
  }
}

/** Stops accepting and resolves when every connection is closed, or after `drainMs`. */
async function drain(server: Server, silent: SilentConnections, drainMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  const closeIdle = (): void => {
    server.closeIdleConnections();
    silent.close();
  };
  closeIdle();
  // A keep-alive connection turns idle only when its last answer ends.
  const sweep = setInterval(closeIdle, IDLE_SWEEP_MS);
  const deadline = new Promise<void>((resolve) => {
    setTimeout(resolve, drainMs).unref();
  });
  await Promise.race([closed, deadline]);
  clearInterval(sweep);
}

/**
 * Listens at once and answers 503 until `load` has an engine.
 *
 * @param load Loads the engine; called again when the worker of the last one crashed. Its signal fires when the server
 * closes, and /health answers with the progress that it tells: `Engine.load` takes both.
 * @param modelName The checkpoint's folder, for the model's name.
 * @throws LoadError `CANNOT_LISTEN` where the port is taken or the address is not this machine's.
 */
export async function startServer(
  load: LoadEngine,
  modelName: string,
  options: ServerOptions = {},
): Promise<RunningServer> {
  const logger = containedLogger(options.logger ?? SILENT_LOGGER);
  const host = options.host ?? SERVER_DEFAULTS.host;
  const drainMs = options.drainMs ?? SERVER_DEFAULTS.drainMs;
  const modelId = options.modelId ?? basename(modelName);
  const server = createServer({
    maxHeaderSize: MAX_HEADER_BYTES,
    connectionsCheckingInterval: REQUEST_CHECK_MS,
    // Refused by the app, with a body.
    requireHostHeader: false,
  });
  const requestTimeout = options.requestTimeoutMs ?? SERVER_DEFAULTS.requestTimeoutMs;
  server.requestTimeout = requestTimeout;
  server.headersTimeout = requestTimeout;
  const idleMs = options.idleConnectionMs ?? SERVER_DEFAULTS.idleConnectionMs;
  // Node takes 0 for no end at all.
  server.keepAliveTimeout = Math.max(1, idleMs);
  const silent = new SilentConnections(server);
  const port = await listen(server, host, options.port ?? SERVER_DEFAULTS.port);
  answerBrokenRequests(server);
  answerExpectations(server);
  server.on('error', (error) => logger.error('server error', { reason: String(error) }));

  const metrics = new ServerMetrics(modelId, async () => {
    // A worker that crashes meanwhile has nothing to report.
    return (await holder.engineOrNull?.report().catch(() => null)) ?? null;
  });
  let settleReady: { resolve: (engine: Engine) => void; reject: (reason: unknown) => void } | null = null;
  const ready = new Promise<Engine>((resolve, reject) => {
    settleReady = { resolve, reject };
  });
  const holder: EngineHolder = new EngineHolder(load, {
    onCrash: (error) => {
      metrics.crashed();
      logger.error('worker crashed, loading another', { reason: String(error) });
    },
    onReady: (engine) => {
      const { runner, router, plan } = engine.model;
      logger.info('model ready', { model: modelId, runner, router, plan });
      settleReady?.resolve(engine);
    },
    onFailure: (error) => {
      logger.error('model could not be loaded', { reason: reasonOf(error) });
      settleReady?.reject(error);
    },
  });
  // Whoever does not wait for `ready` learns of a failed load from /health.
  ready.catch(() => undefined);
  const maxBodyBytes = options.maxBodyBytes ?? SERVER_DEFAULTS.maxBodyBytes;
  const stored = new ResponseStore({
    responses: options.storedResponses ?? SERVER_DEFAULTS.storedResponses,
    characters: MAX_STORED_CHARACTERS,
  });
  const serving: Serving = {
    holder,
    metrics,
    modelId,
    keepAliveMs: options.keepAliveMs ?? SERVER_DEFAULTS.keepAliveMs,
    maxBodyBytes,
    created: unixSeconds(),
    responses: stored,
    background: new BackgroundResponses(stored, LOGGED_CHARACTERS_PER_BODY_BYTE * maxBodyBytes),
    seal: new ReasoningSeal(),
    logger,
  };
  const app = createApp(serving, {
    apiKey: options.apiKey ?? null,
    corsOrigin: options.corsOrigin ?? null,
    logger,
  });
  surviveBrokenResponses(server, logger);
  cutOffStalledReaders(server, options.stalledReaderMs ?? SERVER_DEFAULTS.stalledReaderMs, () =>
    metrics.stalledReader(),
  );
  server.on('request', listenerOf(app, logger));

  let closing: Promise<void> | null = null;
  const close = async (): Promise<void> => {
    holder.drain();
    await drain(server, silent, drainMs);
    // What is still open now gets an error from the engine's disposal, then the socket goes.
    await holder.dispose();
    settleReady?.reject(new DisposedError());
    server.closeAllConnections();
  };
  const urlHost = host.includes(':') ? `[${host}]` : host;
  return {
    host,
    port,
    url: `http://${urlHost}:${port}`,
    get state() {
      return holder.state;
    },
    ready,
    close: () => (closing ??= close()),
    [Symbol.asyncDispose]: () => (closing ??= close()),
  };
}
