/**
 * Loads a checkpoint of a published size on ONNX Runtime and answers with it: by the runner alone, by `switchyard generate`
 * and by `switchyard serve`, each in a process of its own. Prints one JSON object with times, rates and the most memory that
 * each process ever had. The first argument is the checkpoint's folder, the second the expert precision (default int4).
 */

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, loadavg, totalmem } from 'node:os';
import { basename } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { openSnapshot } from '@switchyard/models';
import { Engine } from '../src/engine.ts';
import type { LoadingStep } from '../src/runners/load-plan.ts';
import { createOrtRunner } from '../src/runners/ort/index.ts';
import { planOrtMemory } from '../src/runners/ort/plan-memory.ts';
import { releaseFreeMemory } from '../src/worker/release-free-memory.ts';
import { rounded } from './summary.ts';

const PROMPT_TOKENS = 300;
const ANSWER_TOKENS = 32;
const PROGRAM = fileURLToPath(import.meta.url);
const COMMAND = fileURLToPath(new URL('../bin/switchyard.mjs', import.meta.url));

const [, , path, precision = 'int4', part] = process.argv;
if (path === undefined || (precision !== 'int4' && precision !== 'exact')) {
  throw new TypeError('Give the folder of a checkpoint, then int4 or exact');
}

/** A field of Linux's account of a process, in bytes. */
function memory(field: 'VmRSS' | 'VmHWM', pid: number | 'self'): number {
  const found = new RegExp(`${field}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return 1024 * Number(found?.[1]);
}

const prompt = Int32Array.from({ length: PROMPT_TOKENS }, (_, index) => 100 + ((index * 977) % 3000));

async function measureRunner(folder: string, expertPrecision: 'int4' | 'exact'): Promise<Record<string, unknown>> {
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
  let [output] = await runner.forward([{ sequence, tokens: prompt }]);
  const prefillMilliseconds = performance.now() - prefillStarted;
  const decodeStarted = performance.now();
  for (let step = 0; step < ANSWER_TOKENS; step++) {
    const logits = output?.logits ?? new Float32Array(1);
    const best = logits.reduce((most, value, index) => (value > (logits[most] ?? 0) ? index : most), 0);
    [output] = await runner.forward([{ sequence, tokens: Int32Array.of(best) }]);
  }
  const decodeMilliseconds = performance.now() - decodeStarted;
  const plan = planOrtMemory(snapshot.config, { expertPrecision });
  const step = last as LoadingStep | null;
  await runner.dispose();
  return {
    loadSeconds: rounded(loadMilliseconds / 1000),
    readSeconds: rounded((step?.readMs ?? 0) / 1000),
    convertSeconds: rounded((step?.convertMs ?? 0) / 1000),
    sessionSeconds: rounded((step?.sessionMs ?? 0) / 1000),
    longestPieceMilliseconds: rounded(longestPiece),
    plannedWeightBytes: plan.weightBytes,
    grownBytes: loaded - before,
    residentBytesBefore: before,
    residentBytesLoaded: loaded,
    peakResidentBytesOfLoading: peakOfLoading,
    peakResidentBytes: memory('VmHWM', 'self'),
    prefillTokensPerSecond: rounded((1000 * PROMPT_TOKENS) / prefillMilliseconds),
    decodeTokensPerSecond: rounded((1000 * ANSWER_TOKENS) / decodeMilliseconds),
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
  await loading.then(
    (engine) => engine.dispose(),
    () => undefined,
  );
  delay.disable();
  const rejected = performance.now();
  // The model's thread keeps the process alive until it has stopped.
  process.once('beforeExit', () => {
    console.log(
      JSON.stringify({
        longestEventLoopDelayMilliseconds: rounded(delay.max / 1e6),
        rejectedAfterMilliseconds: rounded(rejected - asked),
        stoppedAfterMilliseconds: rounded(performance.now() - asked),
      }),
    );
  });
}

/** Runs this program for one part, and returns what it prints. */
async function inProcess(name: string): Promise<unknown> {
  const child = spawn(process.execPath, ['--import=tsx/esm', PROGRAM, path as string, precision, name], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return JSON.parse(await outputOf(child.stdout));
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
    return { result, peakResidentBytes, seconds: rounded((performance.now() - started) / 1000) };
  } finally {
    clearInterval(watch);
    if (child.exitCode === null) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
  }
}

const shared = ['--model', path, '--expert-precision', precision, '--router', 'cpu'];

async function measureGenerate(): Promise<Record<string, unknown>> {
  const words = ['--prompt-ids', prompt.join(), '--max-tokens', String(ANSWER_TOKENS), '--json'];
  const { result, ...figures } = await withCommand(['generate', ...shared, ...words], outputOf);
  const { usage, timings } = JSON.parse(result) as {
    readonly usage: { readonly completionTokens: number };
    readonly timings: { readonly prefillTokensPerSecond: number; readonly decodeTokensPerSecond: number };
  };
  return {
    ...figures,
    completionTokens: usage.completionTokens,
    prefillTokensPerSecond: rounded(timings.prefillTokensPerSecond),
    decodeTokensPerSecond: rounded(timings.decodeTokensPerSecond),
  };
}

async function measureServe(): Promise<Record<string, unknown>> {
  const { result, ...figures } = await withCommand(
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
  return { ...figures, ...result };
}

async function answer(url: string): Promise<Record<string, unknown>> {
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
    completionTokens: body.usage?.completion_tokens,
    requestSeconds: rounded((performance.now() - started) / 1000),
  };
}

if (part === 'runner') {
  console.log(JSON.stringify(await measureRunner(path, precision)));
} else if (part === 'loop') {
  await measureLoop(path, precision);
} else {
  const git = (...words: string[]): string => execFileSync('git', words, { encoding: 'utf8' }).trimEnd();
  const require = createRequire(import.meta.url);
  const about = {
    commit: git('rev-parse', '--short', 'HEAD'),
    changedSinceCommit: git('status', '--porcelain', '--', '..').split('\n').filter(Boolean),
    command: `bench/load-published-shapes.ts ${basename(path)} ${precision}`,
  };
  const figures = {
    runner: await inProcess('runner'),
    stopping: await inProcess('loop'),
    generate: await measureGenerate(),
    serve: await measureServe(),
  };
  const report = {
    machine: {
      cpu: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      memoryBytes: totalmem(),
      loadAverage: loadavg()[0],
    },
    versions: { node: process.versions.node, onnxruntime: require('onnxruntime-node/package.json').version as string },
    ...about,
    date: new Date().toISOString(),
    checkpoint: basename(path),
    expertPrecision: precision,
    figures,
  };
  console.log(JSON.stringify(report, null, 2));
}
