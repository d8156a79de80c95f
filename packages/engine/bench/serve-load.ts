/**
 * Load on the HTTP server, over loopback: streaming clients that each check every answer against the one that the model
 * gives alone (greedy). Reports decode rates, the server's event-loop delay and its memory, and ends with exit code 1
 * where the serving targets are missed.
 *
 *   node --import=tsx/esm bench/serve-load.ts [--clients 64] [--seconds 60] [--json] [--out FILE]
 *   node --import=tsx/esm bench/serve-load.ts --quick     a few clients for a moment; no target is held
 *   node --import=tsx/esm bench/serve-load.ts --prompt-tokens 512 --answer-tokens 256 [--interrupt-prompt-tokens 8192]
 *     [--runner NAME] [--model PATH] [--shape gpt-oss-20b] ...                        see serve-lengths.ts
 *
 * Clients run in this process, the server in a child, so that each has an event loop of its own.
 */

import type { ChildProcess } from 'node:child_process';
import { Agent } from 'node:http';
import { parseArgs } from 'node:util';
import { Benchmark, type BenchmarkCheck, type RecordedSeries } from '@switchyard/gpu/benchmark';
import { sample, startLoadServer, stopLoadServer } from './load-server.ts';
import type { ServerSample } from './serve-load-server.ts';
import { loadOfLengths } from './serve-lengths.ts';
import { streamAnswer } from './streaming-client.ts';
import { writeReport } from './write-report.ts';

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
const WINDOW_MS = 5000;
const ANSWER_TOKENS = 256;
/** What serving has to reach. */
const TARGETS = { speedup: 2.5, eventLoopDelayP99Ms: 50, residentGrowth: 0.03 } as const;

/** Asks the questions one after the other until the time is over; tokens per second. */
async function singleStream(
  url: string,
  agent: Agent,
  questions: readonly string[],
  milliseconds: number,
): Promise<number> {
  let tokens = 0;
  const start = performance.now();
  for (let turn = 0; performance.now() - start < milliseconds; turn += 1) {
    tokens += (await streamAnswer(url, agent, questions[turn % questions.length] ?? '')).tokens;
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
  const questions = [...expected.keys()];
  const counts = { answers: 0, failed: 0, mixedUp: 0, tokens: 0, firstText: [] as number[] };
  const client = async (first: number): Promise<void> => {
    for (let turn = first; performance.now() < end; turn += 1) {
      const question = questions[turn % questions.length] ?? '';
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

/** What the server said of itself, a sample a window. */
interface Window extends ServerSample {
  readonly seconds: number;
}

/** Samples the server from now until the time is over. */
async function watch(child: ChildProcess, end: number, windowMs: number): Promise<Window[]> {
  await sample(child);
  const start = performance.now();
  const windows: Window[] = [];
  while (performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, windowMs));
    windows.push({ seconds: (performance.now() - start) / MS_PER_SECOND, ...(await sample(child)) });
  }
  return windows;
}

/** What is wrong with the answers, in words. */
function answerProblems({ failed, mixedUp, answers }: Load, exitCode: number | null): string[] {
  return [
    ...(failed > 0 ? [`${failed} requests failed`] : []),
    ...(mixedUp > 0 ? [`${mixedUp} answers were mixed up`] : []),
    ...(answers === 0 ? ['nothing was answered'] : []),
    ...(exitCode === 0 ? [] : [`the server ended with ${exitCode}`]),
  ];
}

interface Figures {
  readonly clients: number;
  /** Tokens a second of one client at a time, before and after the load. */
  readonly singleRates: readonly number[];
  readonly load: Load;
  readonly seconds: number;
  readonly windows: readonly Window[];
}

/** Keeps all figures. Returns which targets were missed, in words. */
function record(benchmark: Benchmark, check: BenchmarkCheck, figures: Figures): string[] {
  const { clients, singleRates, load, seconds, windows } = figures;
  const keep = (series: Omit<RecordedSeries, 'contender' | 'check'> & { readonly contender?: string }): number =>
    benchmark.record({ contender: 'server', ...series, check }).median;
  const single = keep({
    name: 'answers',
    contender: 'one client',
    unit: 'tokens/s',
    better: 'higher',
    samples: singleRates,
  });
  const aggregate = load.tokens / seconds;
  keep({ name: 'answers', contender: `${clients} clients`, unit: 'tokens/s', better: 'higher', samples: [aggregate] });
  const speedup = aggregate / single;
  keep({ name: 'clients together beside one', unit: 'times', better: 'higher', samples: [speedup] });
  keep({ name: 'answers that were checked', unit: 'answers', better: 'higher', samples: [load.answers] });
  keep({ name: 'time to the first text', unit: 'ms', better: 'lower', samples: load.firstText });
  // A sample a window, in order: by timers of 1 ms and of 10 ms, see serve-load-server.ts.
  const perWindow = (name: string, unit: string, valueOf: (window: Window) => number): readonly number[] => {
    const samples = windows.map(valueOf);
    keep({ name, unit, better: 'lower', samples, keepSamples: true });
    return samples;
  };
  const delays = perWindow('event-loop delay, p99 of a window', 'ms', ({ eventLoopDelay }) => eventLoopDelay.p99);
  perWindow(
    'event-loop delay by timers of 10 ms, p99 of a window',
    'ms',
    ({ eventLoopDelay10 }) => eventLoopDelay10.p99,
  );
  perWindow('event-loop utilization', 'share', ({ eventLoopUtilization }) => eventLoopUtilization);
  perWindow('processor time', 's', ({ cpuSeconds }) => cpuSeconds);
  const resident = perWindow('resident memory', 'MiB', ({ residentBytes }) => residentBytes / MEBIBYTE);
  const lastHalf = resident.slice(Math.floor(resident.length / 2));
  const growth = (lastHalf.at(-1) ?? 0) - (lastHalf[0] ?? 0);
  keep({ name: 'growth of resident memory in the last half', unit: 'MiB', better: 'lower', samples: [growth] });
  return [
    ...(speedup >= TARGETS.speedup ? [] : [`together ${speedup.toFixed(2)} times one client, not ${TARGETS.speedup}`]),
    ...(Math.max(...delays) < TARGETS.eventLoopDelayP99Ms ? [] : ['the event loop was blocked']),
    ...(growth < TARGETS.residentGrowth * (lastHalf[0] ?? 0) ? [] : ['memory grows']),
  ];
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      'prompt-tokens': { type: 'string' },
      'answer-tokens': { type: 'string' },
      'interrupt-prompt-tokens': { type: 'string' },
      runner: { type: 'string' },
      model: { type: 'string' },
      shape: { type: 'string' },
      clients: { type: 'string' },
      seconds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      out: { type: 'string' },
    },
  });
  const { quick } = values;
  const clients = Number(values.clients ?? (quick ? 3 : 64));
  const milliseconds = Number(values.seconds ?? (quick ? 2 : 60)) * MS_PER_SECOND;
  const promptTokens = values['prompt-tokens'];
  if (promptTokens !== undefined) {
    const benchmark = await loadOfLengths({
      clients,
      milliseconds,
      promptTokens: Number(promptTokens),
      answerTokens: Number(values['answer-tokens'] ?? ANSWER_TOKENS),
      interruptPromptTokens: Number(values['interrupt-prompt-tokens'] ?? 0),
      runner: values.runner,
      model: values.model,
      shape: values.shape,
    });
    process.exitCode = await writeReport(benchmark, values);
    return;
  }
  const benchmark = new Benchmark({
    name: 'serve-load',
    manifest: new URL('../package.json', import.meta.url),
    packages: ['@switchyard/models', '@switchyard/router-kernel', 'onnxruntime-node', 'hono', '@hono/node-server'],
    settings: { quick, clients, seconds: milliseconds / MS_PER_SECOND },
  });
  const { child, url } = await startLoadServer();
  const agent = new Agent({ keepAlive: true, maxSockets: clients });
  const questions = quick ? QUESTIONS.slice(0, 3) : QUESTIONS;
  const expected = new Map<string, string>();
  for (const question of questions) expected.set(question, (await streamAnswer(url, agent, question)).text);
  const before = await singleStream(url, agent, questions, milliseconds / 12);
  const start = performance.now();
  const running = load(url, agent, clients, start + milliseconds, expected);
  const windows = await watch(child, start + milliseconds, Math.min(WINDOW_MS, milliseconds / 6));
  const answered = await running;
  const seconds = (performance.now() - start) / MS_PER_SECOND;
  const after = await singleStream(url, agent, questions, milliseconds / 12);
  agent.destroy();
  const exitCode = await stopLoadServer(child);

  const what = 'every answer of every client with the one that the model gives alone';
  const check = await benchmark.check('server', what, () => answerProblems(answered, exitCode));
  const figures = { clients, singleRates: [before, after], load: answered, seconds, windows };
  const missed = check === null ? [] : record(benchmark, check, figures);
  if (!quick) for (const text of missed) benchmark.note(`MISSED: ${text}`);
  process.exitCode = await writeReport(benchmark, values);
  if (!quick && missed.length > 0) process.exitCode = 1;
}

await main();
