/**
 * Load on the HTTP server, over loopback: streaming clients that each check every answer against the one that the model
 * gives alone (greedy). Reports decode rates, the server's event-loop delay and its memory, and fails where the serving
 * targets are missed.
 *
 *   node --import=tsx/esm bench/serve-load.ts [--clients 64] [--seconds 60] [--json FILE]
 *
 * Clients run in this process, the server in a child, so that each has an event loop of its own.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { Agent } from 'node:http';
import { createRequire } from 'node:module';
import { arch, availableParallelism, cpus, loadavg, platform, release, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import type { LoadServerMessage, ServerSample } from './serve-load-server.ts';
import { streamAnswer } from './streaming-client.ts';

const WORDS =
  'lighthouse river book harbour ship mountain tower light sea bridge garden horse king window bread song village market';
const QUESTIONS = [
  ...WORDS.split(' ').map((word) => `What is a ${word}?`),
  'What is 17 + 25?',
  'What is 8 + 5?',
  'What is 60 - 21?',
  'What is a flimsnort?',
];
const MEBIBYTE = 2 ** 20;
const MS_PER_SECOND = 1000;
const SAMPLE_MS = 5000;
/** What serving has to reach. */
const TARGETS = { speedup: 2.5, eventLoopDelayP99Ms: 50, residentGrowth: 0.03 } as const;

/** What the figures depend on: code, versions and machine. */
function surroundings(): Record<string, unknown> {
  const git = (...words: string[]): string => execFileSync('git', words, { encoding: 'utf8' }).trimEnd();
  const require = createRequire(import.meta.url);
  const version = (name: string): string => {
    const main = require.resolve(name);
    const root = main.slice(0, main.lastIndexOf(`/${name}/`) + name.length + 2);
    return (JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as { version: string }).version;
  };
  return {
    date: new Date().toISOString(),
    commit: git('rev-parse', 'HEAD'),
    // Paths that the run depends on: documents may differ.
    changedSinceCommit: git('status', '--porcelain', '--', '../../packages').split('\n').filter(Boolean),
    versions: {
      node: process.version,
      'onnxruntime-node': version('onnxruntime-node'),
      hono: version('hono'),
      '@hono/node-server': version('@hono/node-server'),
    },
    machine: {
      processor: cpus()[0]?.model ?? 'unknown',
      threads: availableParallelism(),
      memoryMiB: Math.round(totalmem() / MEBIBYTE),
      system: `${platform()} ${release()} ${arch()}`,
      loadBefore: loadavg()[0],
    },
  };
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

/** Asks the questions one after the other until the time is over; tokens per second. */
async function singleStream(url: string, agent: Agent, milliseconds: number): Promise<number> {
  let tokens = 0;
  const start = performance.now();
  for (let turn = 0; performance.now() - start < milliseconds; turn += 1) {
    tokens += (await streamAnswer(url, agent, QUESTIONS[turn % QUESTIONS.length] ?? '')).tokens;
  }
  return (tokens * MS_PER_SECOND) / (performance.now() - start);
}

interface Load {
  readonly answers: number;
  readonly failed: number;
  readonly mixedUp: number;
  readonly tokens: number;
  readonly firstText: readonly number[];
}

/** `clients` clients that ask without a pause until the time is over, each beginning at another question. */
async function load(
  url: string,
  agent: Agent,
  clients: number,
  end: number,
  expected: ReadonlyMap<string, string>,
): Promise<Load> {
  const counts = { answers: 0, failed: 0, mixedUp: 0, tokens: 0, firstText: [] as number[] };
  const client = async (first: number): Promise<void> => {
    for (let turn = first; performance.now() < end; turn += 1) {
      const question = QUESTIONS[turn % QUESTIONS.length] ?? '';
      try {
        const { text, tokens, firstText } = await streamAnswer(url, agent, question);
        counts.answers += 1;
        counts.tokens += tokens;
        counts.firstText.push(firstText);
        if (text !== expected.get(question)) counts.mixedUp += 1;
      } catch {
        counts.failed += 1;
      }
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, index) => client(index)));
  return counts;
}

const percentile = (values: readonly number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length * share)] ?? 0;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      clients: { type: 'string', default: '64' },
      seconds: { type: 'string', default: '60' },
      json: { type: 'string' },
    },
  });
  const clients = Number(values.clients);
  const milliseconds = Number(values.seconds) * MS_PER_SECOND;
  const about = surroundings();
  const { child, url } = await startChild();
  const agent = new Agent({ keepAlive: true, maxSockets: clients });
  const expected = new Map<string, string>();
  for (const question of QUESTIONS) expected.set(question, (await streamAnswer(url, agent, question)).text);
  const singleRate = await singleStream(url, agent, milliseconds / 6);

  await sample(child);
  const start = performance.now();
  const end = start + milliseconds;
  const running = load(url, agent, clients, end, expected);
  const windows: (ServerSample & { readonly second: number })[] = [];
  while (performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, Math.min(SAMPLE_MS, milliseconds / 6)));
    windows.push({ second: (performance.now() - start) / MS_PER_SECOND, ...(await sample(child)) });
  }
  const { firstText, ...counts } = await running;
  const seconds = (performance.now() - start) / MS_PER_SECOND;
  agent.destroy();
  child.send('stop');
  const [exitCode] = (await once(child, 'exit')) as [number | null];

  const resident = windows.map(({ residentBytes }) => residentBytes / MEBIBYTE);
  const lastHalf = resident.slice(Math.floor(resident.length / 2));
  const growth = (lastHalf.at(-1) ?? 0) - (lastHalf[0] ?? 0);
  const report = {
    ...about,
    clients,
    seconds,
    ...counts,
    timeToFirstTextMs: { p50: percentile(firstText, 0.5), p99: percentile(firstText, 0.99) },
    singleStreamTokensPerSecond: singleRate,
    aggregateTokensPerSecond: counts.tokens / seconds,
    speedup: counts.tokens / seconds / singleRate,
    // Of the worst window. By timers of 1 ms and of 10 ms; see serve-load-server.ts.
    eventLoopDelayP99Ms: Math.max(...windows.map(({ eventLoopDelay }) => eventLoopDelay.p99)),
    eventLoopDelay10P99Ms: Math.max(...windows.map(({ eventLoopDelay10 }) => eventLoopDelay10.p99)),
    residentGrowthLastHalfMiB: growth,
    windows,
  };
  console.log(JSON.stringify(report, null, 2));
  if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(report, null, 2)}\n`);
  assert.equal(exitCode, 0, 'the server did not end well');
  assert.equal(counts.failed, 0, 'requests failed');
  assert.equal(counts.mixedUp, 0, 'answers were mixed up');
  assert.ok(report.speedup >= TARGETS.speedup, 'together too slow');
  assert.ok(report.eventLoopDelayP99Ms < TARGETS.eventLoopDelayP99Ms, 'the event loop was blocked');
  assert.ok(growth < TARGETS.residentGrowth * (lastHalf[0] ?? 0), 'memory grows');
}

await main();
