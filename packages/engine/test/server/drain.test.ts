import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { scripted } from './test-server.ts';

const PROGRAM = fileURLToPath(new URL('./switchyard-from-source.ts', import.meta.url));
const RUNNER = new URL('./scripted-runner.ts', import.meta.url).href;
const ANSWER = 'word '.repeat(120).trim();

/** Starts `switchyard serve` from its sources and waits for its URL. */
async function serve(...options: string[]): Promise<{ child: ChildProcess; url: string; output: () => string }> {
  const words = ['serve', '--port', '0', '--runner-module', RUNNER, ...options];
  const child = spawn(process.execPath, ['--import=tsx/esm', PROGRAM, ...words]);
  let output = '';
  child.stdout.on('data', (data: Buffer) => {
    output += data.toString();
  });
  let log = '';
  child.stderr.on('data', (data: Buffer) => {
    log += data.toString();
  });
  for (;;) {
    const url = /listening on (\S+)/.exec(output)?.[1];
    if (url !== undefined) return { child, url, output: () => output };
    if (child.exitCode !== null) throw new Error(`serve ended with ${child.exitCode}: ${log}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const ask = (url: string): Promise<Response> =>
  fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      messages: [{ role: 'user', content: `SLOW ${scripted(`<|channel|>final<|message|>${ANSWER}`)}` }],
      temperature: 0,
      stream: true,
    }),
  });

/** The text of a stream of chunks. */
function contentOf(stream: string): string {
  return [...stream.matchAll(/"content":"([^"]*)"/g)].map((match) => match[1]).join('');
}

describe('switchyard serve', () => {
  it('finishes every accepted request after SIGTERM and ends with code 0', async () => {
    const { child, url, output } = await serve();
    assert.match(output(), /^KV cache/m);
    const streams = await Promise.all(Array.from({ length: 8 }, () => ask(url)));
    child.kill('SIGTERM');
    const ended = once(child, 'exit');
    for (const text of await Promise.all(streams.map((stream) => stream.text()))) {
      assert.equal(contentOf(text), ANSWER);
      assert.match(text, /data: \[DONE\]/);
    }
    assert.deepEqual(await ended, [0, null]);
  });

  it('ends at once at the second signal', async () => {
    const { child, url } = await serve();
    await ask(url);
    child.kill('SIGINT');
    await new Promise((resolve) => setTimeout(resolve, 100));
    child.kill('SIGINT');
    assert.deepEqual(await once(child, 'exit'), [130, null]);
  });

  it('ends with code 1 where the model is missing', async () => {
    await assert.rejects(serve('--model', '/nowhere'), /serve ended with 1/);
  });
});
