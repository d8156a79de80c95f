/**
 * Loads a checkpoint of a published size on ONNX Runtime and answers with it: by the runner alone, by `switchyard generate`
 * and by `switchyard serve`, each in a process of its own. Reports times, rates and the most memory that each process ever
 * had. Only on Linux, whose account of a process's memory it reads.
 *
 *   node --import=tsx/esm bench/load-published-shapes.ts FOLDER [--precision int4] [--json] [--out FILE]
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Benchmark, type BenchmarkCheck } from '@switchyard/gpu/benchmark';
import { openSnapshot } from '@switchyard/models';
import { Engine } from '../src/engine.ts';
import { DEFAULT_ENGINE_OPTIONS } from '../src/options.ts';
import type { LoadingStep } from '../src/runners/load-plan.ts';
import { createOrtRunner } from '../src/runners/ort/index.ts';
import { planOrtMemory } from '../src/runners/ort/plan-memory.ts';
import { releaseFreeMemory } from '../src/worker/release-free-memory.ts';
import { argmax } from '../test/golden/reference.ts';
import { writeReport } from './write-report.ts';

const PROMPT_TOKENS = 300;
const ANSWER_TOKENS = 32;
const PROGRAM = fileURLToPath(import.meta.url);
const COMMAND = fileURLToPath(new URL('../bin/switchyard.mjs', import.meta.url));

const { values, positionals } = parseArgs({
  options: {
    precision: { type: 'string', default: 'int4' },
    /** What a process of its own does. */
    part: { type: 'string' },
    json: { type: 'boolean', default: false },
    out: { type: 'string' },
  },
  allowPositionals: true,
});
const { precision, part } = values;
const [path] = positionals;
if (path === undefined || (precision !== 'int4' && precision !== 'exact')) {
  throw new TypeError('Give the folder of a checkpoint, and --precision int4 or exact');
}

/** A field of Linux's account of a process, in bytes. */
function memory(field: 'VmRSS' | 'VmHWM', pid: number | 'self'): number {
  const found = new RegExp(`${field}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return 1024 * Number(found?.[1]);
}

const prompt = Int32Array.from({ length: PROMPT_TOKENS }, (_, index) => 100 + ((index * 977) % 3000));

/** Figures by their name with the unit in the end, and the greedy answer. */
interface RunnerFigures {
  readonly ids: readonly number[];
  readonly isFinite: boolean;
  readonly figures: Figures;
}

type Figures = Readonly<Record<string, readonly [value: number, unit: string]>>;

async function measureRunner(folder: string, expertPrecision: 'int4' | 'exact'): Promise<RunnerFigures> {
  using snapshot = await openSnapshot(folder, { encoder: 'when-needed' });
  const before = memory('VmRSS', 'self');
  let last: LoadingStep | null = null;
  let told = performance.now();
  let longestPiece = 0;
  const started = told;
  const runner = await createOrtRunner({
    snapshot,
    expertPrecision,
    router: 'cpu',
    onProgress: (step) => {
      const now = performance.now();
      longestPiece = Math.max(longestPiece, now - told);
      told = now;
      last = step;
    },
  });
  const loadMilliseconds = performance.now() - started;
  const peakOfLoading = memory('VmHWM', 'self');
  releaseFreeMemory();
  const loaded = memory('VmRSS', 'self');
  const sequence = runner.createSequence();
  const prefillStarted = performance.now();
  // In the engine's pieces: a prompt cut elsewhere gives other last bits, which decide between random weights' tokens.
  const { prefillChunk } = DEFAULT_ENGINE_OPTIONS;
  let [output] = await runner.forward([{ sequence, tokens: prompt.subarray(0, prefillChunk) }]);
  for (let start = prefillChunk; start < PROMPT_TOKENS; start += prefillChunk) {
    [output] = await runner.forward([{ sequence, tokens: prompt.subarray(start, start + prefillChunk) }]);
  }
  const prefillMilliseconds = performance.now() - prefillStarted;
  const ids: number[] = [];
  let isFinite = true;
  const decodeStarted = performance.now();
  for (let step = 0; step < ANSWER_TOKENS; step++) {
    const logits = output?.logits ?? new Float32Array(1);
    isFinite &&= logits.every(Number.isFinite);
    ids.push(argmax(logits));
    [output] = await runner.forward([{ sequence, tokens: Int32Array.of(ids.at(-1) ?? 0) }]);
  }
  const decodeMilliseconds = performance.now() - decodeStarted;
  const plan = planOrtMemory(snapshot.config, { expertPrecision });
  const step = last as LoadingStep | null;
  await runner.dispose();
  return {
    ids,
    isFinite,
    figures: {
      load: [loadMilliseconds / 1000, 's'],
      'of loading, reading': [(step?.readMs ?? 0) / 1000, 's'],
      'of loading, converting': [(step?.convertMs ?? 0) / 1000, 's'],
      'of loading, making sessions': [(step?.sessionMs ?? 0) / 1000, 's'],
      'longest piece of loading': [longestPiece, 'ms'],
      'weights as planned': [plan.weightBytes / 1e6, 'MB'],
      'resident memory before': [before / 1e6, 'MB'],
      'resident memory loaded': [loaded / 1e6, 'MB'],
      'most resident memory of loading': [peakOfLoading / 1e6, 'MB'],
      'most resident memory': [memory('VmHWM', 'self') / 1e6, 'MB'],
      prefill: [(1000 * PROMPT_TOKENS) / prefillMilliseconds, 'tokens/s'],
      decode: [(1000 * ANSWER_TOKENS) / decodeMilliseconds, 'tokens/s'],
    },
  };
}

/** Prints how long `Engine.load` keeps the event loop from turning, and how soon it stops when it is asked to. */
async function measureLoop(folder: string, expertPrecision: 'int4' | 'exact'): Promise<void> {
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  // Its first measurement is from one turn to the next.
  await setTimeout(100);
  const abort = new AbortController();
  let asked = 0;
  const loading = Engine.load(folder, {
    expertPrecision,
    router: 'cpu',
    signal: abort.signal,
    onProgress: ({ fraction }) => {
      if (fraction > 0.3 && asked === 0) {
        asked = performance.now();
        abort.abort();
      }
    },
  });
  const wasStopped = await loading.then(
    async (engine) => {
      await engine.dispose();
      return false;
    },
    () => true,
  );
  delay.disable();
  const rejected = performance.now();
  // The model's thread keeps the process alive until it has stopped.
  process.once('beforeExit', () => {
    const figures: Figures = {
      'longest event-loop delay while loading': [delay.max / 1e6, 'ms'],
      'from abort to rejection': [rejected - asked, 'ms'],
      'from abort to the end of the thread': [performance.now() - asked, 'ms'],
    };
    console.log(JSON.stringify({ wasStopped, figures }));
  });
}

/** Runs this program for one part, and returns what it prints. */
async function inProcess<Result>(name: string): Promise<Result> {
  const child = spawn(
    process.execPath,
    ['--import=tsx/esm', PROGRAM, path as string, '--precision', precision, '--part', name],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  return JSON.parse(await outputOf(child.stdout)) as Result;
}

async function outputOf(stream: AsyncIterable<Buffer>): Promise<string> {
  let text = '';
  for await (const data of stream) text += data.toString();
  return text;
}

/** Runs the command until it ends, or until `use` has ended; returns the most memory that it had. */
async function withCommand<Result>(
  words: readonly string[],
  use: (stdout: AsyncIterable<Buffer>) => Promise<Result>,
): Promise<{ readonly result: Result; readonly peakResidentBytes: number; readonly seconds: number }> {
  const started = performance.now();
  const child = spawn(process.execPath, [COMMAND, ...words], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  let peakResidentBytes = 0;
  const look = (): void => {
    try {
      peakResidentBytes = memory('VmHWM', child.pid ?? 'self') || peakResidentBytes;
    } catch {
      // It has ended.
    }
  };
  const watch = setInterval(look, 50);
  try {
    const result = await use(child.stdout);
    look();
    return { result, peakResidentBytes, seconds: (performance.now() - started) / 1000 };
  } finally {
    clearInterval(watch);
    child.kill('SIGTERM');
    const [, signal] = (await ended) as [number | null, string | null];
    if (signal !== null && signal !== 'SIGTERM') console.error(`${words[0]} was ended by ${signal}`);
  }
}

const shared = ['--model', path, '--expert-precision', precision, '--router', 'cpu'];

/** A command's answer, and its figures. */
interface Answered {
  readonly ids: readonly number[];
  readonly figures: Figures;
}

async function measureGenerate(): Promise<Answered> {
  const words = ['--prompt-ids', prompt.join(), '--max-tokens', String(ANSWER_TOKENS), '--temperature', '0', '--json'];
  const { result, peakResidentBytes, seconds } = await withCommand(['generate', ...shared, ...words], outputOf);
  const { ids, timings } = JSON.parse(result) as {
    readonly ids: readonly number[];
    readonly timings: { readonly prefillTokensPerSecond: number; readonly decodeTokensPerSecond: number };
  };
  return {
    ids,
    figures: {
      'the whole command': [seconds, 's'],
      'most resident memory': [peakResidentBytes / 1e6, 'MB'],
      prefill: [timings.prefillTokensPerSecond, 'tokens/s'],
      decode: [timings.decodeTokensPerSecond, 'tokens/s'],
    },
  };
}

interface Served {
  readonly status: number;
  readonly completionTokens: number;
  readonly requestSeconds: number;
}

async function measureServe(): Promise<{ readonly served: Served; readonly figures: Figures }> {
  const { result, peakResidentBytes, seconds } = await withCommand(
    ['serve', ...shared, '--port', '0', '--log-level', 'error'],
    async (stdout) => {
      let text = '';
      for await (const data of stdout) {
        text += data.toString();
        const url = /listening on (\S+)/.exec(text)?.[1];
        if (url !== undefined) return answer(url);
      }
      throw new Error(`The server ended: ${text}`);
    },
  );
  return {
    served: result,
    figures: {
      'the whole command': [seconds, 's'],
      'most resident memory': [peakResidentBytes / 1e6, 'MB'],
      'one request': [result.requestSeconds, 's'],
    },
  };
}

async function answer(url: string): Promise<Served> {
  const started = performance.now();
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: basename(path as string),
      messages: [{ role: 'user', content: 'What is a lighthouse?' }],
      max_tokens: ANSWER_TOKENS,
    }),
  });
  const body = (await response.json()) as { readonly usage?: { readonly completion_tokens: number } };
  return {
    status: response.status,
    completionTokens: body.usage?.completion_tokens ?? 0,
    requestSeconds: (performance.now() - started) / 1000,
  };
}

function record(benchmark: Benchmark, contender: string, check: BenchmarkCheck | null, figures: Figures): void {
  if (check === null) return;
  for (const [name, [value, unit]] of Object.entries(figures)) {
    const better = unit === 'tokens/s' ? 'higher' : 'lower';
    benchmark.record({ name, contender, unit, better, check, samples: [value] });
  }
}

/** Runs the parts one after the other, each checked before its figures count. */
async function main(folder: string): Promise<void> {
  const benchmark = new Benchmark({
    name: 'load-published-shapes',
    manifest: new URL('../package.json', import.meta.url),
    packages: ['@switchyard/models', '@switchyard/router-kernel', 'onnxruntime-node'],
    settings: { checkpoint: basename(folder), expertPrecision: precision, promptTokens: PROMPT_TOKENS },
  });
  const runner = await inProcess<RunnerFigures>('runner');
  const stopping = await inProcess<{ readonly wasStopped: boolean; readonly figures: Figures }>('loop');
  const generate = await measureGenerate();
  const { served, figures } = await measureServe();
  const finite = await benchmark.check('runner', 'every logit with what is finite', () =>
    runner.isFinite ? [] : ['a logit is not finite'],
  );
  const stopped = await benchmark.check('stopping', 'that loading was given up', () =>
    stopping.wasStopped ? [] : ['loading went on to its end'],
  );
  // A token that ends the answer ends the command's, and not the runner's.
  const what = "the command's greedy tokens with those of the runner alone";
  const same = await benchmark.check('generate', what, () =>
    generate.ids.length > 0 && runner.ids.slice(0, generate.ids.length).join() === generate.ids.join()
      ? []
      : [`it answered ${generate.ids.join()}; the runner ${runner.ids.join()}`],
  );
  const answered = await benchmark.check('serve', 'status and tokens of the answer', () =>
    served.status === 200 && served.completionTokens > 0
      ? []
      : [`status ${served.status}, ${served.completionTokens} tokens`],
  );
  record(benchmark, 'runner', finite, runner.figures);
  record(benchmark, 'stopping', stopped, stopping.figures);
  record(benchmark, 'generate', same, generate.figures);
  record(benchmark, 'serve', answered, figures);
  process.exitCode = await writeReport(benchmark, values);
}

if (part === 'runner') {
  console.log(JSON.stringify(await measureRunner(path, precision)));
} else if (part === 'loop') {
  await measureLoop(path, precision);
} else {
  await main(path);
}
