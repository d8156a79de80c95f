import assert from 'node:assert/strict';
import { once } from 'node:events';
import { IncomingMessage, ServerResponse } from 'node:http';
import { connect, Socket } from 'node:net';
import type { Context } from 'hono';
import { abortWithClient, streamEvents } from '../../src/server/event-stream.ts';
import type { Serving } from '../../src/server/serving.ts';
import type { RunningServer } from '../../src/server/start-server.ts';
import { metric, post, scripted, startScriptedServer, untilMetric } from './test-server.ts';

const FINAL = '<|channel|>final<|message|>';
const LONG = `SLOW ${scripted(FINAL + 'word '.repeat(300))}`;

/** A request as bytes. */
function requestOf(path: string, body: object): Buffer {
  const json = JSON.stringify(body);
  return Buffer.from(
    `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(json)}\r\n\r\n${json}`,
  );
}

describe('clients that go away', () => {
  let server: RunningServer;
  before(async () => {
    // Two run, the others wait.
    server = await startScriptedServer({}, { maxSequences: 2, maxQueue: 200, prefillChunk: 16 });
    await server.ready;
  });
  after(() => server.close());
  afterEach(async () => {
    for (const name of ['vllm:num_requests_running', 'vllm:num_requests_waiting', 'vllm:kv_cache_usage_perc']) {
      await untilMetric(server, name, 0);
    }
    const answer = await post(server, '/v1/chat/completions', {
      messages: [{ role: 'user', content: scripted(`${FINAL}alive`) }],
      temperature: 0,
    });
    assert.match(await answer.text(), /"content":"alive"/);
  });

  const requests: Readonly<Record<string, Buffer>> = {
    'chat, streamed': requestOf('/v1/chat/completions', { messages: [{ role: 'user', content: LONG }], stream: true }),
    'chat, whole': requestOf('/v1/chat/completions', { messages: [{ role: 'user', content: LONG }], n: 2 }),
    'responses, streamed': requestOf('/v1/responses', { input: LONG, stream: true }),
    'responses, whole': requestOf('/v1/responses', { input: LONG }),
    'completions, streamed': requestOf('/v1/completions', { prompt: LONG, max_tokens: 300, stream: true }),
    'completions, whole': requestOf('/v1/completions', { prompt: [LONG, LONG], max_tokens: 300 }),
    'a schema': requestOf('/v1/chat/completions', {
      messages: [{ role: 'user', content: LONG }],
      response_format: { type: 'json_object' },
    }),
    score: requestOf('/v1/score', { input: [`SLOW ${'a b '.repeat(200)}`, `SLOW ${'c d '.repeat(200)}`] }),
  };

  for (const [name, bytes] of Object.entries(requests)) {
    it(`leave nothing behind: ${name}`, async () => {
      /** Sends a part of the request and goes when `received` bytes have come, or after a while. */
      const leave = async (sent: number, received: number, milliseconds: number, reset: boolean): Promise<void> => {
        const socket = connect(server.port, server.host);
        await once(socket, 'connect');
        socket.on('error', () => undefined);
        let count = 0;
        const enough = new Promise<void>((resolve) => {
          socket.on('data', (data) => {
            count += data.length;
            if (count >= received) resolve();
          });
          setTimeout(resolve, milliseconds);
        });
        socket.write(bytes.subarray(0, sent));
        await enough;
        if (reset) socket.resetAndDestroy();
        else socket.destroy();
      };
      const parts = [1, 30, bytes.indexOf('\r\n\r\n') + 4, bytes.length - 1];
      const leaving = parts.map((sent) => leave(sent, 1, 20, false));
      for (const milliseconds of [0, 1, 5, 20, 60, 150]) {
        leaving.push(leave(bytes.length, Number.POSITIVE_INFINITY, milliseconds, milliseconds % 2 === 0));
      }
      for (const received of [1, 200, 2000]) leaving.push(leave(bytes.length, received, 400, received === 200));
      await Promise.all(leaving);
    });
  }

  it('are noticed at the next step, whether they read a stream or wait for the whole', async () => {
    const steps = (): Promise<number> => metric(server, 'switchyard:steps_total');
    for (const stream of [true, false]) {
      const abort = new AbortController();
      const body = { messages: [{ role: 'user', content: 'SLOW IDS 100 REPEAT 100000' }], stream };
      const answer = post(server, '/v1/chat/completions', body, { signal: abort.signal }).then((response) =>
        response.text(),
      );
      const rejected = assert.rejects(answer, { name: 'AbortError' });
      const before = await steps();
      while ((await steps()) < before + 20) await new Promise((resolve) => setTimeout(resolve, 10));
      abort.abort();
      await rejected;
      await untilMetric(server, 'vllm:num_requests_running', 0);
      assert.ok((await steps()) < before + 200, 'it went on without its reader');
    }
  });
});

describe('a client that had gone before it was heard of', () => {
  const serving = { keepAliveMs: 10, metrics: { blockedStreams: () => undefined } } as unknown as Serving;

  /** What the HTTP server passes for a connection that is closed. */
  const closedContext = (): Context => {
    const response = new ServerResponse(new IncomingMessage(new Socket()));
    response.destroy();
    return {
      req: { raw: { signal: AbortSignal.abort() } },
      env: { outgoing: response },
      header: () => undefined,
      body: () => new Response(null),
    } as unknown as Context;
  };

  it('has its generation aborted at once, and nothing is written to it', async () => {
    const context = closedContext();
    assert.equal(abortWithClient(context).signal.aborted, true);
    const abort = new AbortController();
    const sent = new Promise<void>((resolve) => {
      streamEvents(context, serving, abort, async (events) => {
        await events.send({});
        await events.done();
        resolve();
      });
    });
    await sent;
    assert.equal(abort.signal.aborted, true);
  });
});

describe('clients that wait', () => {
  it('get keep-alive comments during a long prefill', async () => {
    await using server = await startScriptedServer({ keepAliveMs: 40 }, { prefillChunk: 4 });
    await server.ready;
    const content = `SLOW ${'a b c '.repeat(60)}${scripted(`${FINAL}fine`)}`;
    const response = await post(server, '/v1/chat/completions', {
      messages: [{ role: 'user', content }],
      stream: true,
    });
    const text = await response.text();
    const first = text.indexOf('"content":"fine"');
    const comments = [...text.matchAll(/^: keep-alive$/gm)].filter(({ index }) => index < first);
    assert.ok(comments.length >= 3, text);
    // The role comes before the prefill, so that clients know that they were taken.
    assert.ok(text.indexOf('"role":"assistant"') < (comments[0]?.index ?? 0));
  });
});
