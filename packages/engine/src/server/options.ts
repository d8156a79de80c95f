/**
 * What `startServer` takes, with its defaults and limits.
 */

import type { Logger } from '../logger.ts';

export interface ServerOptions {
  /** Address to listen on. Defaults to 127.0.0.1: nothing outside this machine reaches it. */
  readonly host?: string;
  /** 0 to 65535; 0 takes a free one. Defaults to 8000. */
  readonly port?: number;
  /** Clients must send it as `Authorization: Bearer KEY` or `x-api-key: KEY`, except to `/health` and for the page. Defaults to none. */
  readonly apiKey?: string;
  /** The model's name in answers. Defaults to the checkpoint folder's name. */
  readonly modelId?: string;
  /** Origin that browsers may call from, or `'*'`. Defaults to none: CORS is off. */
  readonly corsOrigin?: string;
  /** The largest request body in bytes. Defaults to 4 MiB. */
  readonly maxBodyBytes?: number;
  /** The time a client has to send its headers and body, in milliseconds. Defaults to 60,000. */
  readonly requestTimeoutMs?: number;
  /** How long a client may read nothing while an answer waits for it, in milliseconds; then it is cut off. Defaults to 60,000. */
  readonly stalledReaderMs?: number;
  /** Silence after which a stream gets a comment, in milliseconds. Defaults to 10,000. */
  readonly keepAliveMs?: number;
  /** How long a connection may stand idle between requests, in milliseconds; 0 closes it at once. Defaults to 75,000: longer than clients' pools keep theirs. */
  readonly idleConnectionMs?: number;
  /** How many responses are kept for `previous_response_id` and `/v1/responses/ID`, in 64 Mi characters at most; 0 keeps none. Defaults to 512. */
  readonly storedResponses?: number;
  /** How long `close` waits for requests under way, in milliseconds; after it they are ended with an error. Defaults to 90,000. */
  readonly drainMs?: number;
  /** Defaults to silence. */
  readonly logger?: Logger;
}

export const SERVER_DEFAULTS = {
  host: '127.0.0.1',
  port: 8000,
  maxBodyBytes: 4 * 1024 * 1024,
  requestTimeoutMs: 60_000,
  stalledReaderMs: 60_000,
  keepAliveMs: 10_000,
  idleConnectionMs: 75_000,
  storedResponses: 512,
  drainMs: 90_000,
} as const;

/** Characters of kept responses' JSON, all together. */
export const MAX_STORED_CHARACTERS = 64 * 1024 * 1024;

/**
 * Characters of the stream events that are kept of one response in the background, the latest, for each byte that a body
 * may have: three of the events repeat the request's tools and instructions. By default 16 Mi: some 80,000 tokens.
 */
export const LOGGED_CHARACTERS_PER_BODY_BYTE = 4;

/** Bytes of headers that Node reads before it answers 431. */
export const MAX_HEADER_BYTES = 16 * 1024;

/** How often Node looks for requests that take too long to arrive, in milliseconds. Its own default, 30 s, would let them take that much longer. */
export const REQUEST_CHECK_MS = 500;
