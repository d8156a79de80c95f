import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { RunningServer } from '../../src/server/start-server.ts';
import { metric, post, scripted, startScriptedServer, untilMetric } from './test-server.ts';

const CHAT = '/v1/chat/completions';
const WORD = ' word';
const FINAL = '<|channel|>final<|message|>';
/** More than sockets hold on both sides (Linux: at most some 4 MB to send, and 128 KB for a reader who never reads). */
const MOST_BUFFERED = 6 * 2 ** 20;

/** The body of a request for an answer of `words` times the same word. */
const ask = (words: number, more: object): string =>
  JSON.stringify({
    messages: [{ role: 'user', content: `${scripted(FINAL + WORD)} REPEAT ${words - 1}` }],
    temperature: 0,
    max_tokens: words + 10,
    ...more,
  });

/** Every token with twenty rivals: more than 1 KB a token. */
const WITH_LOGPROBS = { stream: true, logprobs: true, top_logprobs: 20 };

/** Sends a request and reads nothing, not even into the socket's own buffer. */
async function askWithoutReading(server: RunningServer, body: string): Promise<Socket> {
  const socket = connect({ port: server.port, host: server.host });
  socket.pause();
  await once(socket, 'connect');
  const head = `POST ${CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n`;
  socket.write(`${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  return socket;
}

/** Reads at last, until the server closes. */
async function readAll(socket: Socket): Promise<string> {
  const pieces: Buffer[] = [];
  socket.on('data', (data: Buffer) => pieces.push(data));
  socket.on('error', () => undefined);
  socket.resume();
  await once(socket, 'close');
  return Buffer.concat(pieces).toString('utf8');
}

/** The words of every choice, chunks of the transfer encoding taken apart. */
function wordsOf(received: string, choices: number): number[] {
  const counts = Array.from({ length: choices }, () => 0);
  for (const [, json] of received.matchAll(/^data: (\{.*\})$/gm)) {
    const chunk = JSON.parse(json ?? '') as { choices: { index: number; delta: { content?: string } }[] };
    for (const { index, delta } of chunk.choices) {
      const content = delta.content ?? '';
      assert.equal(content, WORD.repeat(content.length / WORD.length));
      counts[index] = (counts[index] ?? 0) + content.length / WORD.length;
    }
  }
  return counts;
}

describe('clients that read nothing', () => {
  let server: RunningServer;

  before(async () => {
    server = await startScriptedServer({}, { maxSequences: 4 });
    await server.ready;
  });
  after(() => server.close());

  /** Others get their answers. */
  const checkOthers = async (): Promise<void> => {
    const others = Array.from({ length: 12 }, () => post(server, CHAT, ask(50, {})));
    for (const response of await Promise.all(others)) {
      const { choices } = (await response.json()) as { choices: { message: { content: string } }[] };
      assert.equal(choices[0]?.message.content, WORD.repeat(50));
    }
  };

  it('pause where the answer would pile up, hold nobody back, and get the whole answer when they read', async () => {
    const words = 6000;
    const sockets = await Promise.all(
      // As many as are computed side by side.
      Array.from({ length: 4 }, () => askWithoutReading(server, ask(words, WITH_LOGPROBS))),
    );
    await untilMetric(server, 'switchyard:blocked_streams', 4);
    let steps = -1;
    for (let now = 0; now !== steps; now = await metric(server, 'switchyard:steps_total')) {
      steps = now;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.ok(steps < words, 'answers are computed that nobody reads');
    await checkOthers();
    assert.equal(await metric(server, 'switchyard:blocked_streams'), 4);
    for (const received of await Promise.all(sockets.map(readAll))) {
      assert.ok(received.length > MOST_BUFFERED, `${received.length} bytes`);
      assert.deepEqual(wordsOf(received, 1), [words]);
      assert.match(received, /data: \[DONE\]/);
    }
    assert.equal(await metric(server, 'switchyard:blocked_streams'), 0);
  });

  it('leave the model free where their answer is text: it waits, joined, until they read', async () => {
    const words = 8000;
    const socket = await askWithoutReading(server, ask(words, { stream: true, n: 8 }));
    await untilMetric(server, 'switchyard:blocked_streams', 1);
    await untilMetric(server, 'vllm:num_requests_running', 0);
    await checkOthers();
    const received = await readAll(socket);
    assert.deepEqual(
      wordsOf(received, 8),
      Array.from({ length: 8 }, () => words),
    );
    assert.match(received, /data: \[DONE\]/);
  });
});

describe('clients that read nothing for too long', () => {
  it('are cut off, streamed or not, and free what they held', async () => {
    await using server = await startScriptedServer({ stalledReaderMs: 300 });
    await server.ready;
    const sockets = await Promise.all([
      askWithoutReading(server, ask(8000, WITH_LOGPROBS)),
      askWithoutReading(server, ask(8000, { ...WITH_LOGPROBS, stream: false })),
    ]);
    await untilMetric(server, 'switchyard:stalled_readers_total', 2);
    await untilMetric(server, 'vllm:num_requests_running', 0);
    assert.equal(await metric(server, 'switchyard:blocked_streams'), 0);
    for (const received of await Promise.all(sockets.map(readAll))) assert.doesNotMatch(received, /data: \[DONE\]/);
  });
});
