import assert from 'node:assert/strict';
import { channel } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { createServer, IncomingMessage, ServerResponse } from 'node:http';
import { type AddressInfo, Socket } from 'node:net';
import type { Context } from 'hono';
import { type Logger, SILENT_LOGGER } from '../../src/logger.ts';
import { streamEvents } from '../../src/server/event-stream.ts';
import type { Serving } from '../../src/server/serving.ts';
import { post, scripted, startScriptedServer, untilMetric } from './test-server.ts';

const CHAT = '/v1/chat/completions';
const ask = (content: string, more: object = {}): object => ({
  messages: [{ role: 'user', content }],
  temperature: 0,
  ...more,
});
const FINE = scripted('<|channel|>final<|message|>fine');
const LONG = 'SLOW IDS 100 REPEAT 100000';

const fails = (): never => {
  throw new Error('not mine');
};

describe('what throws around a request', () => {
  it('in the logger changes no answer', async () => {
    for (const thrower of [fails, () => Promise.reject(new Error('not mine'))]) {
      const logger: Logger = { debug: thrower, info: thrower, warn: thrower, error: thrower };
      await using server = await startScriptedServer({ logger }, { logger });
      await server.ready;
      for (const stream of [false, true]) {
        const response = await post(server, CHAT, ask(FINE, { stream }));
        assert.equal(response.status, 200);
        assert.match(await response.text(), /"content":"fine"/);
      }
      const failed = await post(server, CHAT, ask('FAIL'));
      assert.equal(failed.status, 500);
      assert.match(await failed.text(), /forward_failed/);
    }
  });

  it('in the writer of a stream ends the stream, aborts its generation, and is logged', async () => {
    const logged: unknown[] = [];
    const logger: Logger = {
      ...SILENT_LOGGER,
      error: (message, fields) => void logged.push([message, fields?.['code']]),
    };
    const serving = { keepAliveMs: 10, logger } as unknown as Serving;
    const abort = new AbortController();
    const server = createServer((_, outgoing) => {
      const context = {
        req: { path: '/' },
        env: { outgoing },
        get: () => 'id',
        header: () => undefined,
        body: () => new Response(null),
      } as unknown as Context;
      streamEvents(context, serving, abort, async (events) => {
        await events.send('first');
        fails();
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    assert.equal(await response.text(), 'data: "first"\n\n');
    server.close();
    assert.equal(abort.signal.aborted, true);
    assert.deepEqual(logged, [['request failed', 'internal_error']]);
  });

  it('because a response has begun already aborts the generation that was to fill it', () => {
    const outgoing = new ServerResponse(new IncomingMessage(new Socket()));
    outgoing.writeHead(200);
    const context = {
      env: { outgoing },
      header: () => undefined,
      body: () => new Response(null),
    } as unknown as Context;
    const abort = new AbortController();
    assert.throws(() => streamEvents(context, {} as Serving, abort, fails), { code: 'ERR_HTTP_HEADERS_SENT' });
    assert.equal(abort.signal.aborted, true);
  });

  it('in sockets and responses, at any time, ends their requests only', async () => {
    await using server = await startScriptedServer();
    await server.ready;
    const started = channel('http.server.request.start');
    const faults: readonly ((socket: Socket, response: ServerResponse) => void)[] = [
      (socket) => socket.destroy(new Error('EIO')),
      (socket) => socket.emit('error', new Error('EIO')),
      (_, response) => response.emit('error', new Error('EIO')),
      (_, response) => response.destroy(new Error('EIO')),
    ];
    for (const fault of faults) {
      for (const delay of [0, 1, 30]) {
        const breaks = (message: unknown): void => {
          const { socket, response } = message as { socket: Socket; response: ServerResponse };
          setTimeout(() => fault(socket, response), delay);
        };
        started.subscribe(breaks);
        const cut = new AbortController();
        const broken = post(server, CHAT, ask(LONG, { stream: true }), { signal: cut.signal })
          .then((response) => response.text())
          .catch(() => undefined);
        await new Promise((resolve) => setTimeout(resolve, delay + 20));
        started.unsubscribe(breaks);
        const whole = await post(server, CHAT, ask(FINE));
        assert.match(await whole.text(), /"content":"fine"/);
        cut.abort();
        await broken;
      }
    }
    await untilMetric(server, 'vllm:num_requests_running', 0);
    assert.equal(server.state, 'ready');
  });
});
