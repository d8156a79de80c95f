import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Engine } from '../../src/engine.ts';
import { SCRIPTED, serve } from './serve-process.ts';
import { scripted } from './test-server.ts';

const ANSWER = 'word '.repeat(120).trim();

const SCRIPT = `SLOW ${scripted(`<|channel|>final<|message|>${ANSWER}`)}`;

const ask = (url: string, content = SCRIPT, more: object = {}): Promise<Response> =>
  fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ messages: [{ role: 'user', content }], temperature: 0, stream: true, ...more }),
  });

/** The text of a stream of chunks. */
function contentOf(stream: string): string {
  return [...stream.matchAll(/"content":"([^"]*)"/g)].map((match) => match[1]).join('');
}

describe('switchyard serve', () => {
  it('finishes every accepted request after SIGTERM and ends with code 0', async () => {
    const { child, url } = await serve(...SCRIPTED);
    const streams = await Promise.all(Array.from({ length: 8 }, () => ask(url)));
    child.kill('SIGTERM');
    const ended = once(child, 'exit');
    for (const text of await Promise.all(streams.map((stream) => stream.text()))) {
      assert.equal(contentOf(text), ANSWER);
      assert.match(text, /data: \[DONE\]/);
    }
    assert.deepEqual(await ended, [0, null]);
  });

  it('drains the embedded model under load: answers in progress and in the queue finish, new requests are refused', async () => {
    const { child, url } = await serve('--router', 'cpu', '--max-sequences', '4');
    const expected = new Map([
      ['What is a lighthouse?', 'Lighthouse: a tower with a light that gives warning of shoals to passing ships.'],
      ['What is 17 + 25?', '42'],
      ['What is a flimsnort?', 'I do not know the word flimsnort.'],
    ]);
    const questions = Array.from({ length: 4 }, () => [...expected.keys()]).flat();
    const streams = await Promise.all(questions.map((question) => ask(url, question)));
    child.kill('SIGTERM');
    const ended = once(child, 'exit');
    // Until the connection is refused, whoever comes now is told to go elsewhere.
    for (;;) {
      const late = await ask(url, 'What is a river?').catch(() => null);
      if (late === null) break;
      const answer = await late.text();
      assert.ok(late.status === 503 || answer.includes('data: [DONE]'), `${late.status}: ${answer}`);
    }
    for (const [index, stream] of streams.entries()) {
      const text = await stream.text();
      assert.equal(contentOf(text), expected.get(questions[index] ?? ''));
      assert.match(text, /data: \[DONE\]/);
    }
    assert.deepEqual(await ended, [0, null]);
  });

  it('gives the embedded model no longer than the drain time, and says so to those it cuts off', async () => {
    const { child, url } = await serve('--router', 'cpu', '--drain-seconds', '0.5');
    const streams = await Promise.all(
      Array.from({ length: 4 }, () => ask(url, 'Tell me about ships.', { ignore_eos: true })),
    );
    child.kill('SIGTERM');
    const ended = once(child, 'exit');
    for (const stream of streams) {
      const text = await stream.text();
      assert.match(text, /"type":"unavailable_error","param":null,"code":"unavailable"/);
      assert.match(text, /data: \[DONE\]/);
    }
    assert.deepEqual(await ended, [0, null]);
  });

  it('ends at once at the second signal', async () => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      const { child, url, log } = await serve(...SCRIPTED);
      // The model hangs in the middle of a step.
      const hanging = ask(url, 'STUCK').then((response) => response.text());
      const cut = assert.rejects(hanging);
      await new Promise((resolve) => setTimeout(resolve, 100));
      child.kill(signal);
      while (!log().includes('draining')) await new Promise((resolve) => setTimeout(resolve, 10));
      child.kill(signal);
      assert.deepEqual(await once(child, 'exit'), [null, signal]);
      await cut;
    }
  });

  it('prints what memory the model takes and how much it leaves, the address last', async () => {
    await using engine = await Engine.load(undefined, { router: 'cpu', kvCacheBytes: 3 * 2 ** 20 });
    const { plan } = engine.model;
    assert.equal(plan.budgetBytes, 3 * 2 ** 20);
    // 6 layers, 2 heads of 64 for keys and values: in f32, on a GPU in 16 bits with a scale of as many for every 16.
    const headBytes = process.env['SWITCHYARD_RUNNER'] === 'hip' ? 64 * 2 + (64 / 16) * 2 : 64 * 4;
    assert.equal(plan.kvBytesPerToken, 6 * 2 * 2 * headBytes);
    const { child, output, url } = await serve('--router', 'cpu', '--kv-cache-mib', '3');
    child.kill('SIGTERM');
    await once(child, 'exit');
    assert.equal(
      output(),
      [
        'model     6 layers, 32 experts, 4 of them for each token',
        `runner    ${engine.model.runner}, router ${engine.model.router.backend} (${engine.model.router.device})`,
        `weights   ${(plan.weightBytes / 2 ** 20).toFixed(1)} MiB`,
        `KV cache  3.0 MiB, ${plan.kvBytesPerToken} bytes a token, blocks of 16 tokens`,
        `room for  ${plan.sequencesOf1024} sequences of ${Math.min(1024, plan.longestSequence)} tokens; the longest has ${plan.longestSequence}`,
        `listening on ${url}`,
        '',
      ].join('\n'),
    );
  });

  it('logs JSON lines on standard error, as many as it is told to', async () => {
    const { child, url, log } = await serve(...SCRIPTED);
    await (await ask(url)).text();
    child.kill('SIGTERM');
    await once(child, 'exit');
    const lines = log()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.deepEqual(
      lines.map(({ level, msg }) => [level, msg]),
      [
        [30, 'loading model'],
        [30, 'model loaded'],
        [30, 'model ready'],
        [30, 'request'],
        [30, 'draining'],
        [30, 'stopped'],
      ],
    );
    assert.ok(Number(lines[0]?.['tensorBytes']) > 0);
    for (const field of ['seconds', 'readSeconds', 'convertSeconds', 'sessionSeconds']) {
      assert.equal(typeof lines[1]?.[field], 'number', field);
    }
    assert.match(String(lines[3]?.['requestId']), /^[\da-f-]{36}$/);
    const silent = await serve(...SCRIPTED, '--log-level', 'silent', '--host', '0.0.0.0');
    silent.child.kill('SIGTERM');
    await once(silent.child, 'exit');
    assert.equal(silent.log(), '');
  });

  it('warns where other machines may reach it without a key', async () => {
    for (const [options, warned] of [
      [['--host', '0.0.0.0'], true],
      [['--host', '0.0.0.0', '--api-key', 'secret'], false],
      [[], false],
    ] as const) {
      const { child, log } = await serve(...SCRIPTED, '--log-level', 'warn', ...options);
      child.kill('SIGTERM');
      await once(child, 'exit');
      assert.equal(log().includes('asks for no key'), warned, log());
    }
  });

  it('ends with code 2 for options that cannot be', async () => {
    for (const options of [
      ['--port', '70000'],
      ['--api-key', ''],
      ['--model-id', ' '],
      ['--cors-origin', ''],
    ]) {
      await assert.rejects(serve(...SCRIPTED, ...options), /serve ended with 2: switchyard: --[a-z-]+ is not valid/);
    }
  });

  it('ends with code 1 where the model is missing', async () => {
    await assert.rejects(serve('--model', '/nowhere'), /serve ended with 1/);
  });

  it('ends with code 1 where the model does not fit, and says what it takes', async () => {
    await assert.rejects(
      serve('--memory-mib', '20'),
      /serve ended with 1: [^]*pocket-dictionary does not fit the memory · found that it takes \d+ MB with exact experts where it may take 21 MB · [^]*\[INSUFFICIENT_MEMORY\]/,
    );
  });
});
