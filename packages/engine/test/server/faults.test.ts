import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { openSnapshot } from '@switchyard/models';
import { Engine } from '../../src/engine.ts';
import { type Logger, SILENT_LOGGER } from '../../src/logger.ts';
import type { LoadProgress } from '../../src/options.ts';
import { type RunningServer, startServer } from '../../src/server/start-server.ts';
import { layerStep, letGo, type LoadingScript } from '../fixtures/loading-runner.ts';
import { clientOf, type ErrorBody, errorOf, post, scripted, startScriptedServer, untilState } from './test-server.ts';

const CHAT = '/v1/chat/completions';
const chat = (content: string, more: object = {}): object => ({
  messages: [{ role: 'user', content }],
  temperature: 0,
  ...more,
});
const FINAL = '<|channel|>final<|message|>';

/** 2^(depth + 1) - 1 schemas inside one another. */
const deepSchema = (depth: number): object =>
  depth === 0
    ? { type: 'string' }
    : { type: 'object', properties: { a: deepSchema(depth - 1), b: deepSchema(depth - 1) } };

/** Sends bytes over a bare socket, perhaps in pieces, and gives back what came until the server closed or 2 s passed. */
async function raw(server: RunningServer, pieces: readonly (string | Buffer)[], closeAfter = false): Promise<string> {
  const socket = connect(server.port, server.host);
  let received = '';
  socket.on('data', (data) => {
    received += data.toString();
  });
  const closed = new Promise<void>((resolve) => {
    socket.on('close', () => resolve());
    socket.on('error', () => resolve());
  });
  for (const piece of pieces) socket.write(piece);
  if (closeAfter) socket.end();
  const timer = setTimeout(() => socket.destroy(), 2000);
  await closed;
  clearTimeout(timer);
  return received;
}

describe('faults of clients', () => {
  let server: RunningServer;
  const logged: Readonly<Record<string, unknown>>[] = [];

  before(async () => {
    const logger: Logger = {
      ...SILENT_LOGGER,
      info: (_, fields) => logged.push(fields ?? {}),
    };
    server = await startScriptedServer(
      { requestTimeoutMs: 1000, keepAliveMs: 50, logger },
      { maxQueue: 2, maxSequences: 2 },
    );
    await server.ready;
  });
  after(() => server.close());

  /** The server still answers. */
  const checkAlive = async (): Promise<void> => {
    const response = await post(server, CHAT, chat(scripted(`${FINAL}alive`)));
    assert.equal(response.status, 200);
    const { choices } = (await response.json()) as { choices: { message: { content: string } }[] };
    assert.equal(choices[0]?.message.content, 'alive');
  };
  afterEach(checkAlive);

  it('are answered with status 400 and the field', async () => {
    const cases: readonly [path: string, body: unknown, param: string | null][] = [
      [CHAT, {}, 'messages'],
      [CHAT, { messages: [] }, 'messages'],
      [CHAT, { messages: [{ role: 'pirate', content: 'arr' }] }, 'messages[0].role'],
      [CHAT, { messages: [{ role: 'user', content: 7 }] }, 'messages[0].content'],
      [CHAT, chat('x', { temperature: 'hot' }), 'temperature'],
      [CHAT, chat('x', { temperature: 3 }), 'temperature'],
      [CHAT, chat('x', { n: 0 }), 'n'],
      [CHAT, chat('x', { logit_bias: { 999999: 1 } }), 'logit_bias'],
      [CHAT, chat('x', { tool_choice: 'required' }), 'tool_choice'],
      [CHAT, chat('x', { top_logprobs: 2 }), 'top_logprobs'],
      [CHAT, chat('x', { tools: [{ type: 'function', function: { name: 'no spaces' } }] }), 'tools[0].function.name'],
      [
        CHAT,
        chat('x', {
          response_format: { type: 'json_schema', json_schema: { name: 'a', schema: { type: 'strange' } } },
        }),
        'response_format.json_schema.schema',
      ],
      [
        CHAT,
        chat('x', {
          tool_choice: 'required',
          tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'strange' } } }],
        }),
        'tools[0].function.parameters',
      ],
      // Valid, but it takes more states than one schema may.
      [
        CHAT,
        chat('x', {
          tools: [
            {
              type: 'function',
              function: {
                name: 'f',
                strict: true,
                parameters: { properties: { a: { pattern: '(a|b)*a(a|b){18}' } } },
              },
            },
          ],
        }),
        'tools[0].function.parameters',
      ],
      [
        '/v1/responses',
        { input: 'x', text: { format: { type: 'json_schema', name: 'a', schema: deepSchema(9) } } },
        'text.format.schema',
      ],
      [
        '/v1/responses',
        { input: 'x', text: { format: { type: 'json_schema', name: 'a', schema: { type: 'strange' } } } },
        'text.format.schema',
      ],
      ['/v1/responses', { input: 'x', previous_response_id: 'resp_1' }, 'previous_response_id'],
      ['/v1/responses', { input: [{ type: 'function_call_output', call_id: 'c', output: '' }] }, 'input[0].call_id'],
      ['/v1/completions', { prompt: 'x', echo: true, logprobs: 1 }, 'echo'],
      ['/detokenize', { tokens: [1, -1] }, 'tokens[1]'],
    ];
    for (const [path, body, param] of cases) {
      const response = await post(server, path, body);
      const error = await errorOf(response);
      assert.equal(response.status, 400, JSON.stringify(body));
      assert.equal(error.param, param, error.message);
      assert.equal(error.type, 'invalid_request_error');
    }
  });

  it('are told apart: 404, 413, 415, and bodies that are no JSON', async () => {
    assert.equal((await post(server, '/v1/nothing', {})).status, 404);
    assert.equal((await fetch(`${server.url}/v1/models/gpt-5`)).status, 404);
    const text = await post(server, CHAT, 'hello', { headers: { 'content-type': 'text/plain' } });
    assert.equal(text.status, 415);
    for (const body of ['', '{', '{"messages":[{"role":"user"', 'null', '[]', '"text"', '7']) {
      assert.equal((await post(server, CHAT, body)).status, 400, body);
    }
    const nested = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    assert.equal((await post(server, CHAT, nested)).status, 400);
    const deep = `{"messages":${'['.repeat(500)}${']'.repeat(500)}}`;
    assert.equal((await errorOf(await post(server, CHAT, deep))).code, 'body_too_deep');
  });

  it('do not fill the memory: 100 MB, with and without a length', async () => {
    const before = process.memoryUsage().rss;
    const head = `POST ${CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n`;
    const megabyte = 'a'.repeat(2 ** 20);
    const announced = await raw(server, [`${head}content-length: ${100 * 2 ** 20}\r\n\r\n`, megabyte]);
    assert.match(announced, /^HTTP\/1.1 413/);
    const chunk = `100000\r\n${megabyte}\r\n`;
    const chunked = await raw(server, [
      `${head}transfer-encoding: chunked\r\n\r\n`,
      ...Array.from({ length: 100 }, () => chunk),
    ]);
    assert.match(chunked, /^HTTP\/1.1 413/);
    assert.equal(process.memoryUsage().rss - before < 400 * 2 ** 20, true);
  });

  it('in HTTP itself get an answer or a closed connection: cut bodies, no HTTP, large headers', async () => {
    const head = `POST ${CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n`;
    await raw(server, [`${head}content-length: 1000\r\n\r\n{"messages":`], true);
    assert.match(await raw(server, ['this is no HTTP\r\n\r\n']), /^HTTP\/1.1 400/);
    assert.match(await raw(server, [`GET / HTTP/1.1\r\nx: ${'y'.repeat(32 * 1024)}\r\n\r\n`]), /^HTTP\/1.1 431/);
  });

  it('in hosts, paths and expectations get an error with a body, and HTTP/1.0 needs no host', async () => {
    const ask = async (...lines: readonly string[]): Promise<{ status: string; body: string }> => {
      const answer = await raw(server, [`${lines.join('\r\n')}\r\nconnection: close\r\n\r\n`]);
      const [head = '', body = ''] = answer.split('\r\n\r\n');
      return { status: head.slice(0, 12), body };
    };
    assert.equal((await ask('GET /health HTTP/1.0')).status, 'HTTP/1.1 200');
    for (const [status, code, ...lines] of [
      ['400', 'invalid_http', 'GET /health HTTP/1.1'],
      ['400', 'invalid_http', 'GET /health HTTP/1.1', 'host:'],
      ['400', 'invalid_http', 'GET /health HTTP/1.1', 'host: a b/@[::'],
      ['400', 'invalid_http', 'GET /\\health HTTP/1.1', 'host: x'],
      ['400', 'invalid_http', 'GET http://[/health HTTP/1.1', 'host: x'],
      ['417', 'expectation_failed', 'GET /health HTTP/1.1', 'host: x', 'expect: the-unexpected'],
    ] as const) {
      const answer = await ask(...lines);
      assert.equal(answer.status, `HTTP/1.1 ${status}`, lines.join());
      assert.equal((JSON.parse(answer.body) as ErrorBody).error.code, code, lines.join());
    }
  });

  it('who send too slowly get 408: headers without an end, no body, a body byte by byte', async () => {
    const head = `POST ${CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n`;
    const late = async (socket: Socket): Promise<void> => {
      let received = '';
      socket.on('data', (data) => {
        received += data.toString();
      });
      await once(socket, 'close');
      const [headers, body] = received.split('\r\n\r\n');
      assert.match(headers ?? '', /^HTTP\/1.1 408 Request Timeout\r\n/);
      const { error } = JSON.parse(body ?? '') as ErrorBody;
      assert.deepEqual([error.type, error.code, error.param], ['timeout_error', 'request_timeout', null]);
    };
    const open = (text: string): Socket => {
      const socket = connect(server.port, server.host);
      socket.write(text);
      return socket;
    };
    const trickling = open(`${head}content-length: 1000\r\n\r\n`);
    const trickle = setInterval(() => trickling.write(' '), 50);
    // The last byte may meet a closed connection.
    trickling.on('error', () => undefined);
    await Promise.all([late(open(head)), late(open(`${head}content-length: 1000\r\n\r\n`)), late(trickling)]);
    clearInterval(trickle);
    assert.equal(
      logged.some(({ status }) => status === 500),
      false,
    );
  });

  it('with special tokens as text change nothing in the conversation, nor do lone surrogates', async () => {
    const snapshot = await openSnapshot();
    const names = [...snapshot.tokenizer.specialTokens];
    for (const [name, id] of names) {
      const response = await post(server, '/tokenize', { prompt: `a${name}b` });
      const { tokens } = (await response.json()) as { tokens: number[] };
      assert.equal(tokens.includes(id), false, name);
      assert.equal((await post(server, CHAT, chat(`${name} ${scripted(`${FINAL}ok`)}`))).status, 200);
    }
    snapshot.dispose();
    const body = `{"temperature":0,"messages":[{"role":"user","content":"\\ud800 ${scripted(`${FINAL}ok`)}"}]}`;
    assert.equal((await post(server, CHAT, body)).status, 200);
    const inKeys = `{"temperature":0,"messages":[{"role":"user","content":"${scripted(`${FINAL}{}`)}"}],"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"type":"object","properties":{"\\ud800":{"type":"string"}},"additionalProperties":false}}}}`;
    assert.equal((await post(server, CHAT, inKeys)).status, 200);
  });

  it('who ask while the queue is full get 429 with Retry-After', async () => {
    const controller = new AbortController();
    const slow = Array.from({ length: 4 }, () =>
      post(server, CHAT, chat(`SLOW ${scripted(FINAL + 'word '.repeat(400))}`), { signal: controller.signal }).catch(
        () => null,
      ),
    );
    let status = 200;
    let retryAfter: string | null = null;
    for (let attempt = 0; status !== 429 && attempt < 20; attempt += 1) {
      const extra = new AbortController();
      const timer = setTimeout(() => extra.abort(), 100);
      try {
        const response = await post(server, CHAT, chat('SLOW'), { signal: extra.signal });
        ({ status } = response);
        retryAfter = response.headers.get('retry-after');
      } catch {
        // It was taken into the queue, and given up here.
      }
      clearTimeout(timer);
    }
    assert.equal(status, 429);
    assert.equal(retryAfter, '1');
    controller.abort();
    await Promise.all(slow);
    await new Promise((resolve) => setTimeout(resolve, 200));
  });

  it('who go away at any time leave nothing behind', async () => {
    const body = JSON.stringify(chat(`SLOW ${scripted(FINAL + 'word '.repeat(300))}`, { stream: true }));
    for (const milliseconds of [0, 1, 2, 5, 10, 20, 40, 80]) {
      await post(server, CHAT, body, { signal: AbortSignal.timeout(milliseconds) })
        .then((response) => response.text())
        .catch(() => undefined);
    }
    for (let attempt = 0; ; attempt += 1) {
      const metrics = await (await fetch(`${server.url}/metrics`)).text();
      if (/num_requests_running\{[^}]*\} 0\n/.test(metrics)) break;
      assert.equal(attempt < 200, true, 'requests go on');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  });

  it('get keep-alive comments while the model is silent', async () => {
    const response = await post(
      server,
      CHAT,
      chat(`SLOW ${scripted('<|channel|>analysis'.repeat(40))}`, { stream: true }),
    );
    assert.match(await response.text(), /^: keep-alive$/m);
  });

  it('get the request id that they gave, or a new one', async () => {
    const given = await fetch(`${server.url}/health`, { headers: { 'x-request-id': 'mine-1' } });
    assert.equal(given.headers.get('x-request-id'), 'mine-1');
    const odd = await fetch(`${server.url}/health`, { headers: { 'x-request-id': 'a b' } });
    assert.match(odd.headers.get('x-request-id') ?? '', /^[\da-f-]{36}$/);
  });
});

describe('a server with an API key', () => {
  it('answers 401 without it, and /health to everybody', async () => {
    await using server = await startScriptedServer({ apiKey: 'secret', corsOrigin: 'https://example.org' });
    await server.ready;
    assert.equal((await fetch(`${server.url}/health`)).status, 200);
    const refused = await post(server, CHAT, chat('x'));
    assert.equal(refused.status, 401);
    assert.equal((await errorOf(refused)).code, 'invalid_api_key');
    await assert.rejects(clientOf(server, 'wrong').models.list(), { status: 401 });
    assert.equal((await clientOf(server, 'secret').models.list()).data.length, 1);
    const origin = 'https://example.org';
    const shared = await fetch(`${server.url}/health`, { headers: { origin } });
    assert.equal(shared.headers.get('access-control-allow-origin'), origin);
  });
});

describe('a server whose worker fails', () => {
  it('answers 503 while it loads, and 200 afterwards', async () => {
    await using server = await startScriptedServer({}, {}, { loadMs: 300 });
    const health = await fetch(`${server.url}/health`);
    assert.equal(health.status, 503);
    const refused = await post(server, CHAT, chat('x'));
    assert.equal(refused.status, 503);
    assert.equal(refused.headers.get('retry-after'), '2');
    await server.ready;
    assert.equal((await fetch(`${server.url}/health`)).status, 200);
  });

  it('tells at /health how far it is while it loads', async () => {
    const release = new SharedArrayBuffer(4);
    const runnerOptions: LoadingScript = { steps: [layerStep(1, 2)], release };
    const runnerModule = new URL('../fixtures/loading-runner.ts', import.meta.url);
    await using server = await startServer(
      (signal, onProgress) => Engine.load(undefined, { runnerModule, runnerOptions, signal, onProgress }),
      'loading',
      { port: 0 },
    );
    for (;;) {
      const health = await fetch(`${server.url}/health`);
      assert.equal(health.status, 503);
      const body = (await health.json()) as { status: string; error: object; progress?: LoadProgress };
      assert.equal(body.status, 'loading');
      assert.deepEqual(body.error, { code: 503, message: 'loading', type: 'unavailable_error', param: null });
      if (body.progress?.what !== 'layer 1 of 2') continue;
      const { phase, fraction, doneBytes, totalBytes, seconds } = body.progress;
      assert.deepEqual([phase, fraction, doneBytes, totalBytes], ['model', 0.55, 1000, 2000]);
      assert.ok(seconds > 0);
      break;
    }
    letGo(release);
    await server.ready;
    assert.deepEqual(await (await fetch(`${server.url}/health`)).json(), { status: 'ok' });
  });

  it('closes at once while the model is deep in its load', async () => {
    const release = new SharedArrayBuffer(4);
    const runnerOptions: LoadingScript = { steps: [layerStep(1, 2)], release };
    const runnerModule = new URL('../fixtures/loading-runner.ts', import.meta.url);
    let reach = (): void => undefined;
    const reached = new Promise<void>((resolve) => {
      reach = resolve;
    });
    const server = await startServer(
      (signal, onProgress) =>
        Engine.load(undefined, {
          runnerModule,
          runnerOptions,
          signal,
          onProgress: (progress) => {
            onProgress(progress);
            if (progress.what === 'layer 1 of 2') reach();
          },
        }),
      'loading',
      { port: 0 },
    );
    await reached;
    const ready = assert.rejects(server.ready, { code: 'DISPOSED' });
    // The thread is let go only afterwards.
    await server.close();
    await ready;
    letGo(release);
  });

  it('gives up loading when it is closed', async () => {
    // Were it to load to the end, the test would run out of time.
    const runner = new URL('./prompted-runner.ts', import.meta.url);
    const load = (signal: AbortSignal): Promise<Engine> =>
      Engine.load(undefined, { runnerModule: runner, runnerOptions: { loadMs: 600_000 }, signal });
    const server = await startServer(load, 'scripted', { port: 0 });
    const ready = assert.rejects(server.ready, { code: 'DISPOSED' });
    await server.close();
    await ready;
  });

  it('reports a crash to the requests under way, restarts, and goes on', async () => {
    await using server = await startScriptedServer();
    await server.ready;
    const slow = post(server, CHAT, chat(`SLOW ${scripted(FINAL + 'word '.repeat(400))}`, { stream: true }));
    const stream = await slow;
    const crash = await post(server, CHAT, chat('EXIT'));
    assert.equal(crash.status, 503);
    assert.equal((await errorOf(crash)).code, 'worker_crashed');
    assert.match(await stream.text(), /worker_crashed/);
    await untilState(server, 'ready');
    const again = await post(server, CHAT, chat(scripted(`${FINAL}back`)));
    assert.match(await again.text(), /back/);
    assert.match(await (await fetch(`${server.url}/metrics`)).text(), /worker_crashes_total\{[^}]*\} 1\n/);
  });

  it('says why where the model cannot be loaded', async () => {
    await using server = await startServer(() => Engine.load('/nowhere'), 'nowhere', { port: 0 });
    await assert.rejects(server.ready, { code: 'MODEL_NOT_FOUND' });
    const health = await fetch(`${server.url}/health`);
    assert.equal(health.status, 503);
    assert.equal((await errorOf(health)).message, 'failed');
    const refused = await post(server, CHAT, chat('x'));
    assert.equal(refused.status, 503);
    assert.match((await errorOf(refused)).message, /There is no model \/nowhere/);
  });

  it('tries again where the next model cannot be loaded after a crash', async () => {
    let loads = 0;
    const load = (): Promise<Engine> => {
      loads += 1;
      if (loads === 2) return Promise.reject(new Error('no memory just now'));
      return Engine.load(undefined, { runnerModule: new URL('./prompted-runner.ts', import.meta.url) });
    };
    await using server = await startServer(load, 'scripted', { port: 0 });
    await server.ready;
    assert.equal((await post(server, CHAT, chat('EXIT'))).status, 503);
    await untilState(server, 'failed');
    assert.match((await errorOf(await post(server, CHAT, chat('x')))).message, /no memory just now/);
    await untilState(server, 'ready');
    assert.equal(loads, 3);
    assert.match(await (await post(server, CHAT, chat(scripted(`${FINAL}back`)))).text(), /back/);
  });

  it('keeps the failure of one step to the requests in it', async () => {
    await using server = await startScriptedServer();
    await server.ready;
    const failed = await post(server, CHAT, chat('FAIL'));
    assert.equal(failed.status, 500);
    assert.equal((await errorOf(failed)).code, 'forward_failed');
    assert.equal((await post(server, CHAT, chat(scripted(`${FINAL}fine`)))).status, 200);
  });

  it('ends what is left after the drain time with a clear error', async () => {
    const server = await startScriptedServer({ drainMs: 200 });
    await server.ready;
    const stream = await post(server, CHAT, chat(`SLOW ${scripted(FINAL + 'word '.repeat(1000))}`, { stream: true }));
    const [text] = await Promise.all([stream.text(), server.close()]);
    assert.match(text, /"code":"unavailable"/);
  });
});
