/**
 * Requests that no route ever sees: no HTTP, too slow, or with headers that make no request. They get OpenAI's error bodies
 * all the same.
 */

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { getRequestListener, RequestError } from '@hono/node-server';
import type { Hono } from 'hono';
import type { Logger } from '../logger.ts';
import { OpenAiError, toOpenAiError } from './errors/openai-error.ts';
import { MAX_HEADER_BYTES } from './options.ts';

/** What a client has to take the answer to a broken request: destroying the socket at once could lose it on the way. */
const LINGER_MS = 1000;

interface BrokenRequest {
  readonly status: string;
  readonly type: string;
  readonly code: string;
  readonly message: string;
}

/** By Node's error code. */
const BROKEN_REQUESTS: Readonly<Record<string, BrokenRequest>> = {
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: '408 Request Timeout',
    type: 'timeout_error',
    code: 'request_timeout',
    message: 'The request took too long to arrive · its time is over · send headers and body faster',
  },
  HPE_HEADER_OVERFLOW: {
    status: '431 Request Header Fields Too Large',
    type: 'invalid_request_error',
    code: 'headers_too_large',
    message: `The headers are too large · found more than ${MAX_HEADER_BYTES} bytes · send fewer`,
  },
};

/** Node answers broken requests itself, before there is a request to route; this gives them OpenAI's body. */
export function answerBrokenRequests(server: Server): void {
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (!socket.writable || error.code === 'ECONNRESET') {
      socket.destroy();
      return;
    }
    const { status, type, code, message } = BROKEN_REQUESTS[error.code ?? ''] ?? {
      status: '400 Bad Request',
      type: 'invalid_request_error',
      code: 'invalid_http',
      message: `The request is not valid HTTP · found ${error.code ?? error.message} · check what sends it`,
    };
    const body = JSON.stringify({ error: { message, type, param: null, code } });
    socket.end(
      `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    );
    setTimeout(() => socket.destroy(), LINGER_MS).unref();
  });
}

/** An expectation of a client's that Node does not know. */
export function answerExpectations(server: Server): void {
  server.on('checkExpectation', (incoming: IncomingMessage, response: ServerResponse) => {
    const error = new OpenAiError(
      417,
      `The request expects what is not known · found expect: ${incoming.headers.expect} · leave the header out`,
      { code: 'expectation_failed' },
    );
    const body = JSON.stringify(error.body);
    response.writeHead(error.status, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      connection: 'close',
    });
    response.end(body);
  });
}

/** The app as Node calls it, with an answer for requests that it cannot even be asked with. */
export function listenerOf(
  app: Hono,
  logger: Required<Logger>,
): (incoming: IncomingMessage, response: ServerResponse) => void {
  const listener = getRequestListener(app.fetch, {
    // The adapter would put its Request and Response in the place of the process's globals.
    overrideGlobalObjects: false,
    errorHandler: (thrown) => {
      const error = thrown instanceof RequestError ? invalidHttp(thrown.message) : toOpenAiError(thrown);
      if (error.status === 500) logger.error('request failed', { code: error.code, reason: error.message });
      return Response.json(error.body, { status: error.status });
    },
  });
  return (incoming, response) => {
    // HTTP/1.0 has no such header, and health checks are often written in it.
    if (incoming.httpVersion === '1.0') incoming.headers.host ??= 'localhost';
    void listener(incoming, response);
  };
}

const invalidHttp = (found: string): OpenAiError =>
  new OpenAiError(400, `The request is not valid HTTP · found ${found} · check what sends it`, {
    code: 'invalid_http',
  });
