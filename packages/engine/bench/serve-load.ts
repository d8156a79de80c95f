/**
 * Load on the HTTP server, over loopback: streaming clients that each check every answer against the one that the model
 * gives alone (greedy). Reports decode rates, the server's event-loop delay and its memory.
 *
 *   node --import=tsx/esm bench/serve-load.ts [--clients 64] [--seconds 60] [--json FILE]
 *
 * Clients run in this process, the server in a child, so that each has an event loop of its own.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import type { LoadServerMessage, ServerSample } from './serve-load-server.ts';

const QUESTIONS = [
  'What is a lighthouse?',
  'What is a river?',
  'What is a book?',
  'What is a harbour?',
  'What is 17 + 25?',
  'What is a flimsnort?',
  'What is a ship?',
  'What is a mountain?',
];

interface Answer {
  readonly text: string;
  readonly tokens: number;
}

async function ask(url: string, question: string): Promise<Answer> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      messages: [{ role: 'user', content: question }],
      temperature: 0,
      stream: true,
      stream_options: { include_usage: true },
    }),
  });
  if (!response.ok) throw new Error(`status ${response.status}: ${await response.text()}`);
  let text = '';
  let tokens = 0;
  for (const line of (await response.text()).split('\n')) {
    if (!line.startsWith('data: {')) continue;
    const chunk = JSON.parse(line.slice('data: '.length)) as {
      readonly choices: readonly { readonly delta: { readonly content?: string; readonly reasoning?: string } }[];
      readonly usage?: { readonly completion_tokens: number } | null;
      readonly error?: { readonly message: string };
    };
    if (chunk.error !== undefined) throw new Error(chunk.error.message);
    text += chunk.choices[0]?.delta.reasoning ?? '';
    text += chunk.choices[0]?.delta.content ?? '';
    tokens = chunk.usage?.completion_tokens ?? tokens;
  }
  return { text, tokens };
}

async function startChild(): Promise<{ readonly child: ChildProcess; readonly url: string }> {
  const child = fork(new URL('./serve-load-server.ts', import.meta.url), { execArgv: ['--import=tsx/esm'] });
  const [message] = (await once(child, 'message')) as [LoadServerMessage];
  assert.equal(message.type, 'listening');
  return { child, url: message.type === 'listening' ? message.url : '' };
}

/** Asks the server for its figures since the last call. */
async function sample(child: ChildProcess): Promise<ServerSample> {
  child.send('sample');
  for (;;) {
    const [message] = (await once(child, 'message')) as [LoadServerMessage];
    if (message.type === 'sample') return message.sample;
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      clients: { type: 'string', default: '64' },
      seconds: { type: 'string', default: '60' },
      json: { type: 'string' },
    },
  });
  const clients = Number(values.clients);
  const milliseconds = Number(values.seconds) * 1000;
  const { child, url } = await startChild();
  const expected = new Map<string, string>();
  for (const question of QUESTIONS) expected.set(question, (await ask(url, question)).text);

  // The single stream: the same questions, one after the other.
  let singleTokens = 0;
  const singleStart = performance.now();
  while (performance.now() - singleStart < milliseconds / 6) {
    for (const question of QUESTIONS) singleTokens += (await ask(url, question)).tokens;
  }
  const singleRate = (singleTokens * 1000) / (performance.now() - singleStart);

  await sample(child);
  const counts = { answers: 0, failed: 0, mixedUp: 0, tokens: 0 };
  const memory: { readonly second: number; readonly residentMiB: number }[] = [];
  const start = performance.now();
  const end = start + milliseconds;
  const client = async (first: number): Promise<void> => {
    for (let turn = first; performance.now() < end; turn += 1) {
      const question = QUESTIONS[turn % QUESTIONS.length] ?? '';
      try {
        const { text, tokens } = await ask(url, question);
        counts.answers += 1;
        counts.tokens += tokens;
        if (text !== expected.get(question)) counts.mixedUp += 1;
      } catch {
        counts.failed += 1;
      }
    }
  };
  const running = Array.from({ length: clients }, (_, index) => client(index));
  const delays: number[] = [];
  while (performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, Math.min(5000, milliseconds / 6)));
    const { residentBytes, eventLoopDelayP99Ms } = await sample(child);
    delays.push(eventLoopDelayP99Ms);
    memory.push({
      second: Math.round((performance.now() - start) / 1000),
      residentMiB: Math.round(residentBytes / 2 ** 20),
    });
  }
  await Promise.all(running);
  const seconds = (performance.now() - start) / 1000;
  const lastHalf = memory.slice(Math.floor(memory.length / 2)).map(({ residentMiB }) => residentMiB);
  const report = {
    machine: { processor: cpus()[0]?.model ?? 'unknown', threads: availableParallelism(), node: process.version },
    clients,
    seconds,
    ...counts,
    singleStreamTokensPerSecond: singleRate,
    aggregateTokensPerSecond: counts.tokens / seconds,
    speedup: counts.tokens / seconds / singleRate,
    eventLoopDelayP99Ms: Math.max(...delays),
    residentMiB: memory,
    residentGrowthLastHalfMiB: (lastHalf.at(-1) ?? 0) - (lastHalf[0] ?? 0),
  };
  console.log(JSON.stringify(report, null, 2));
  if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(report, null, 2)}\n`);
  child.send('stop');
  await once(child, 'exit');
  assert.equal(counts.failed, 0, 'requests failed');
  assert.equal(counts.mixedUp, 0, 'answers were mixed up');
}

await main();
