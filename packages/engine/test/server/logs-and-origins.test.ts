import assert from 'node:assert/strict';
import type { Logger } from '../../src/logger.ts';
import type { RunningServer } from '../../src/server/start-server.ts';
import { post, scripted, startScriptedServer } from './test-server.ts';

const CHAT = '/v1/chat/completions';
const FINAL = '<|channel|>final<|message|>';
const ask = (more: object = {}): object => ({
  messages: [{ role: 'user', content: scripted(`${FINAL}fine`) }],
  ...more,
});

interface Entry {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

function recorder(): { logger: Logger; entries: Entry[] } {
  const entries: Entry[] = [];
  const at =
    (level: string) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}): number =>
      entries.push({ level, message, fields });
  return { logger: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }, entries };
}

describe('what a server logs', () => {
  it('is one entry a request, with its id, method, path, status, time and whether the answer was whole', async () => {
    const { logger, entries } = recorder();
    await using server = await startScriptedServer({ logger });
    await server.ready;
    const send = async (path: string, body: object, id: string): Promise<void> => {
      const response = await post(server, path, body, {
        headers: { 'content-type': 'application/json', 'x-request-id': id },
      });
      assert.equal(response.headers.get('x-request-id'), id);
      await response.text();
    };
    await send(CHAT, ask(), 'whole');
    await send(CHAT, ask({ stream: true }), 'streamed');
    await send(CHAT, {}, 'wrong');
    await send('/v1/nothing', {}, 'nowhere');
    const abort = new AbortController();
    const cut = await post(
      server,
      CHAT,
      { messages: [{ role: 'user', content: 'SLOW IDS 100 REPEAT 100000' }], stream: true },
      {
        headers: { 'content-type': 'application/json', 'x-request-id': 'cut' },
        signal: abort.signal,
      },
    );
    abort.abort();
    await cut.text().catch(() => undefined);
    const requests = (): Entry[] => entries.filter(({ message }) => message === 'request');
    for (let attempt = 0; requests().length < 5 && attempt < 500; attempt += 1) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.deepEqual(
      requests().map(({ level, fields: { ms, ...fields } }) => {
        assert.ok(typeof ms === 'number' && ms > 0);
        return [level, fields];
      }),
      [
        ['whole', CHAT, 200, true],
        ['streamed', CHAT, 200, true],
        ['wrong', CHAT, 400, true],
        ['nowhere', '/v1/nothing', 404, true],
        ['cut', CHAT, 200, false],
      ].map(([requestId, path, status, complete]) => ['info', { requestId, method: 'POST', path, status, complete }]),
    );
    const [ready] = entries.filter(({ message }) => message === 'model ready');
    assert.deepEqual(Object.keys(ready?.fields ?? {}), ['model', 'runner', 'router', 'plan']);
    // Nothing that a user said.
    assert.doesNotMatch(JSON.stringify(entries), /SCRIPT|REPEAT/);
  });

  it('is an error where a request fails through no fault of its client', async () => {
    const { logger, entries } = recorder();
    await using server = await startScriptedServer({ logger });
    await server.ready;
    const fail = { messages: [{ role: 'user', content: 'FAIL' }] };
    for (const [path, body] of [
      [CHAT, fail],
      [CHAT, { ...fail, stream: true }],
      ['/v1/responses', { input: 'FAIL', stream: true }],
      [CHAT, {}],
    ] as const) {
      await (
        await post(server, path, body, { headers: { 'content-type': 'application/json', 'x-request-id': 'mine' } })
      ).text();
    }
    const failures = entries.filter(({ message }) => message === 'request failed');
    assert.deepEqual(
      failures.map(({ level, fields: { requestId, path, code } }) => [level, requestId, path, code]),
      [CHAT, CHAT, '/v1/responses'].map((path) => ['error', 'mine', path, 'forward_failed']),
    );
    for (const { fields } of failures) assert.match(String(fields['reason']), /the script says so/);
  });

  it('is an error where the worker crashes or a model cannot be loaded', async () => {
    const { logger, entries } = recorder();
    await using server = await startScriptedServer({ logger });
    await server.ready;
    await post(server, CHAT, { messages: [{ role: 'user', content: 'EXIT' }] });
    const [crash] = entries.filter(({ level }) => level === 'error');
    assert.equal(crash?.message, 'worker crashed, loading another');
    assert.match(String(crash?.fields['reason']), /exit code 7/);
  });
});

describe('origins', () => {
  const ORIGIN = 'https://example.org';
  const preflight = (server: RunningServer, origin: string): Promise<Response> =>
    fetch(`${server.url}${CHAT}`, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' },
    });
  const fromOrigin = (origin: string): RequestInit => ({ headers: { 'content-type': 'application/json', origin } });

  it('have no access unless they are given it', async () => {
    await using server = await startScriptedServer();
    await server.ready;
    assert.equal((await preflight(server, ORIGIN)).status, 405);
    for (const response of [
      await preflight(server, ORIGIN),
      await post(server, CHAT, ask(), fromOrigin(ORIGIN)),
      await post(server, CHAT, {}, fromOrigin(ORIGIN)),
    ]) {
      const names = [...response.headers.keys()].filter((name) => name.startsWith('access-control-'));
      assert.deepEqual(names, []);
    }
    // What a page may send without asking first is not read.
    const simple = await post(server, CHAT, ask(), { headers: { 'content-type': 'text/plain', origin: ORIGIN } });
    assert.equal(simple.status, 415);
    const untyped = await fetch(`${server.url}${CHAT}`, {
      method: 'POST',
      headers: { origin: ORIGIN },
      body: new Blob([JSON.stringify(ask())]),
    });
    assert.equal(untyped.status, 415);
  });

  it('that have access may ask without the key and read streams, errors and the request id; others may not', async () => {
    await using server = await startScriptedServer({ corsOrigin: ORIGIN, apiKey: 'secret' });
    await server.ready;
    const allowed = await preflight(server, ORIGIN);
    assert.equal(allowed.status, 204);
    assert.equal(allowed.headers.get('access-control-allow-origin'), ORIGIN);
    assert.match(allowed.headers.get('access-control-allow-headers') ?? '', /content-type/);
    const headers = { 'content-type': 'application/json', origin: ORIGIN, authorization: 'Bearer secret' };
    for (const body of [ask({ stream: true }), ask(), {}]) {
      const response = await post(server, CHAT, body, { headers });
      assert.equal(response.headers.get('access-control-allow-origin'), ORIGIN);
      assert.match(response.headers.get('access-control-expose-headers') ?? '', /x-request-id/i);
      await response.text();
    }
    assert.equal((await preflight(server, 'https://evil.example')).headers.get('access-control-allow-origin'), null);
  });
});
