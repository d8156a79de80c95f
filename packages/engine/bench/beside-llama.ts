/**
 * The engine on the CPU beside node-llama-cpp, whose version is pinned and which is installed on demand, in turns: each in
 * a process of its own, which waits while the other is timed. The same weights, bit for bit, in a GGUF file.
 *
 *   node --import=tsx/esm bench/beside-llama.ts [--model FOLDER] [--work FOLDER] [--rounds 9] [--decode 200] [--prefill 256]
 *     [--together 32] [--only errors,rates] [--note TEXT] [--quick] [--json] [--out FILE]
 *
 * The model defaults to the embedded one. Others are written by packages/models/scripts/write-checkpoint.ts; their YaRN has
 * to be truncated to whole dimensions, the only form that llama.cpp has (rope_scaling.truncate in config.json).
 */

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Benchmark, type BenchmarkCheck, type BenchmarkContender } from '@switchyard/gpu/benchmark';
import { type Snapshot, embeddedCheckpointPath, openSnapshot } from '@switchyard/models';
import { leastStepBytes } from '../src/bench/step-bytes.ts';
import type { LogitsRunner } from '../src/runners/logits-runner.ts';
import { createNativeRunner } from '../src/runners/native/index.ts';
import { ContenderProcess, type ContenderTask } from './llama/contender-process.ts';
import { CopyThreads } from './llama/copy-bandwidth.ts';
import { LLAMA_VERSION, installLlama } from './llama/install-llama.ts';
import { type LogitError, logitError, referenceLogits, runnerLogits } from './llama/logit-errors.ts';
import { writeSnapshotAsGguf } from './llama/snapshot-gguf.ts';
import { writeReport } from './write-report.ts';

const OURS = 'switchyard';
const THEIRS = 'node-llama-cpp';
/** Prompts whose last logits are compared, and tokens of each. */
const COMPARED_PROMPTS = 3;
const COMPARED_TOKENS = 16;
/** Largest errors, as parts of the logits, of what counts as right. */
const MOST_ERROR: Readonly<Record<string, number>> = { [OURS]: 1e-3, [THEIRS]: 0.3 };
const THREADS = 2;
const CONTEXT = 1024;

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: embeddedCheckpointPath() },
    work: { type: 'string' },
    rounds: { type: 'string', default: '9' },
    decode: { type: 'string', default: '200' },
    prefill: { type: 'string', default: '256' },
    together: { type: 'string', default: '32' },
    /** Errors beside the model in f64, which take minutes of a large model; rates. */
    only: { type: 'string', default: 'errors,rates' },
    /** How the machine was, where that matters. */
    note: { type: 'string' },
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    out: { type: 'string' },
  },
});
const { model, quick } = values;
const rounds = quick ? 1 : Number(values.rounds);
const decodeTokens = quick ? 4 : Number(values.decode);
const prefillTokens = Number(values.prefill);
const together = Number(values.together);
const only = values.only.split(',');

const work = values.work ?? mkdtempSync(join(tmpdir(), 'switchyard-beside-llama-'));
mkdirSync(work, { recursive: true });
const gguf = join(work, `${basename(model)}.gguf`);
const benchmark = new Benchmark({
  name: 'beside-llama',
  manifest: new URL('../package.json', import.meta.url),
  packages: ['@switchyard/models', '@switchyard/router-kernel', 'koffi'],
  settings: { model: basename(model), threads: THREADS, quick },
});
benchmark.addVersion(THEIRS, LLAMA_VERSION);
benchmark.note(
  'decode: greedy tokens, of node-llama-cpp by evaluate() at temperature 0; both compute the head for each',
);
benchmark.note(
  'prefill: the engine with its first token, node-llama-cpp by evaluateWithoutGeneratingNewTokens(), without the head',
);
if (values.note !== undefined) benchmark.note(values.note);

try {
  const library = await installLlama();
  using snapshot = await openSnapshot(model, { encoder: 'when-needed' });
  if (!existsSync(gguf)) writeSnapshotAsGguf(snapshot, gguf);
  if (only.includes('errors')) await measureErrors(snapshot, library);
  if (only.includes('rates')) await measureRates(snapshot, library);
} finally {
  if (values.work === undefined) rmSync(work, { recursive: true });
}
process.exitCode = await writeReport(benchmark, values);

function promptOf(prompt: number): number[] {
  return Array.from({ length: COMPARED_TOKENS }, (_, index) => (index * 37 + prompt * 1013 + 11) % 4000);
}

/** Both beside the model in f64; ours where a prompt is read, and where its last token is a step of decoding. */
async function measureErrors(snapshot: Snapshot, library: URL): Promise<void> {
  await using runner = await createNativeRunner({ snapshot, kvCacheBytes: 2 ** 26, threads: THREADS });
  await using llama = await ContenderProcess.startLlama(library, gguf, CONTEXT, 1);
  const [ours, decoded, theirs]: [LogitError[], LogitError[], LogitError[]] = [[], [], []];
  for (let prompt = 0; prompt < (quick ? 1 : COMPARED_PROMPTS); prompt++) {
    const ids = promptOf(prompt);
    const reference = referenceLogits(snapshot, ids);
    ours.push(logitError(await runnerLogits(runner, ids, false), reference));
    decoded.push(logitError(await runnerLogits(runner, ids, true), reference));
    theirs.push(logitError(await llama.logits(ids), reference));
  }
  await recordErrors(OURS, 'prompt', ours);
  await recordErrors(OURS, 'last token decoded', decoded);
  await recordErrors(THEIRS, 'prompt', theirs);
}

async function recordErrors(contender: string, how: string, errors: readonly LogitError[]): Promise<void> {
  const most = MOST_ERROR[contender] ?? 0;
  const what = `logits after prompts of ${COMPARED_TOKENS} tokens, within ${most} of their root mean square of those of the model in f64`;
  const check = await benchmark.check(`${contender}, ${how}`, what, () => tooLarge(errors, most));
  if (check === null) return;
  const name = 'error of logits beside f64, root mean square as a part of theirs';
  const samples = errors.map(({ rms }) => rms * 1e6);
  const facts = { sameLargest: errors.filter(({ sameLargest }) => sameLargest).length };
  benchmark.record({ name, contender, unit: 'ppm', better: 'lower', parameters: { how }, check, samples, facts });
}

function tooLarge(errors: readonly LogitError[], most: number): string[] {
  return errors.filter(({ rms }) => !(rms <= most)).map(({ rms }) => `off by ${rms}`);
}

/** Whether both compute the same model: what lets their rates be compared. */
async function checkAgreement(runner: LogitsRunner, llama: ContenderProcess): Promise<BenchmarkCheck | null> {
  const most = MOST_ERROR[THEIRS] ?? 0;
  const what = `logits after a prompt, both within ${most} of their root mean square of each other`;
  return benchmark.check('both', what, async () => {
    const ours = new Float64Array(await runnerLogits(runner, promptOf(0), false));
    return tooLarge([logitError(await llama.logits(promptOf(0)), ours)], most);
  });
}

/** The check, and the router's part of the runner's steps, without the engine around it, in percent. */
async function measureRunner(snapshot: Snapshot, llama: ContenderProcess) {
  await using runner = await createNativeRunner({ snapshot, kvCacheBytes: 2 ** 26, threads: THREADS });
  const check = await checkAgreement(runner, llama);
  const sequence = runner.createSequence();
  const step = (token: number) => runner.forward([{ sequence, tokens: Int32Array.of(token), logits: 'largest' }]);
  // Code that is not compiled yet would count.
  for (let token = 0; token < 2 * decodeTokens; token++) await step(token);
  const [before, started] = [runner.timings.router, performance.now()];
  for (let token = 0; token < decodeTokens; token++) await step(token);
  const routerShare = (100 * (runner.timings.router - before)) / (performance.now() - started);
  return { check, routerShare };
}

async function measureRates(snapshot: Snapshot, library: URL): Promise<void> {
  await using theirs = await ContenderProcess.startLlama(library, gguf, CONTEXT, 1);
  const { check, routerShare } = await measureRunner(snapshot, theirs);
  await using ours = await ContenderProcess.startEngine(model);
  await using copying = await CopyThreads.start(THREADS);
  const contender = (name: string, task: ContenderTask, beside?: () => Promise<Disposable>): BenchmarkContender => ({
    name,
    check,
    sample: async () => {
      using _ = await beside?.();
      return (name === OURS ? ours : theirs).rate(task);
    },
  });
  const measure = (name: string, parameters: Record<string, number | string>, contenders: BenchmarkContender[]) =>
    benchmark.measure({ name, unit: 'tokens/s', better: 'higher', parameters, rounds, contenders });

  const one: ContenderTask = { kind: 'decode', tokens: decodeTokens, sequences: 1 };
  const copies: number[] = [];
  const [decode] = await measure('decode, one sequence', { tokens: decodeTokens }, [
    {
      ...contender(OURS, one),
      sample: async (round) => {
        const rate = await ours.rate(one);
        // In every round, so that both have the machine as it is.
        const bandwidth = await copying.gigabytesPerSecond();
        if (round >= 0) copies.push(bandwidth);
        return rate;
      },
    },
    contender(THEIRS, one),
  ]);
  // As a user of llama.cpp may measure it: the model takes tokens, and its head is not computed.
  await measure('tokens taken one by one, none asked for', { tokens: decodeTokens }, [
    contender(THEIRS, { kind: 'evaluate', tokens: decodeTokens }),
  ]);
  const prefill: ContenderTask = { kind: 'prefill', tokens: prefillTokens };
  await measure('prefill', { tokens: prefillTokens }, [contender(OURS, prefill), contender(THEIRS, prefill)]);
  if (together > 1) {
    const many: ContenderTask = { kind: 'decode', tokens: decodeTokens, sequences: together };
    await measure('decode, many sequences', { tokens: decodeTokens, sequences: together }, [contender(OURS, many)]);
  }
  // Few of theirs: they may come a hundred times slower.
  const few: ContenderTask = { ...one, tokens: Math.max(4, Math.ceil(decodeTokens / 20)) };
  await measure('decode, one sequence, beside a busy process', { tokens: decodeTokens }, [
    contender(OURS, one, startBusyProcess),
    { ...contender(THEIRS, few, startBusyProcess), facts: { tokens: few.tokens } },
  ]);
  if (check === null || decode === undefined) return;
  const about = { contender: OURS, check } as const;
  benchmark.record({
    ...about,
    name: 'copies by two threads, read and written',
    unit: 'GB/s',
    better: 'higher',
    samples: copies,
  });
  const bytes = leastStepBytes(snapshot.config, { sequences: 1, context: decodeTokens / 2, kvElementBytes: 4 });
  const copied = copies.toSorted((a, b) => a - b)[copies.length >> 1] ?? Number.NaN;
  const share = (100 * decode.median * bytes) / (copied * 1e9);
  const name = 'what a step of decoding reads at the least, as a part of what copies read and write in its time';
  benchmark.record({ ...about, name, unit: '%', better: 'higher', samples: [share], facts: { bytes } });
  benchmark.record({
    ...about,
    name: 'router, of a step of decoding',
    unit: '%',
    better: 'lower',
    samples: [routerShare],
  });
  await recordProcess(OURS, ours, check);
  await recordProcess(THEIRS, theirs, check);
}

async function recordProcess(
  contender: string,
  process: ContenderProcess,
  check: BenchmarkCheck | null,
): Promise<void> {
  if (check === null) return;
  const { resident, anonymous } = await process.memory();
  const about = { contender, better: 'lower', check } as const;
  benchmark.record({ ...about, name: 'load', unit: 'ms', samples: [process.loadMilliseconds] });
  benchmark.record({ ...about, name: 'resident memory', unit: 'MB', samples: [resident] });
  benchmark.record({ ...about, name: 'anonymous memory', unit: 'MB', samples: [anonymous] });
}

/** A process that takes all it gets of one processor. */
async function startBusyProcess(): Promise<Disposable> {
  const child = fork(fileURLToPath(new URL('./llama/busy-program.mjs', import.meta.url)), { execArgv: [] });
  await once(child, 'message');
  return { [Symbol.dispose]: () => void child.kill('SIGKILL') };
}
