/**
 * Decoding of one sequence through `Engine.generate`, beside the runner by itself on the same device, in turns.
 *
 *   node --import=tsx/esm bench/engine-beside-runner.ts [--runner hip] [--model FOLDER | --shape gpt-oss-20b] [--context 1024]
 *     [--tokens 512] [--rounds 5] [--json] [--out FILE]
 *
 * A shape has weights that the GPU makes. Both are loaded at once: memory has to have room for the model twice.
 */

import { parseArgs } from 'node:util';
import { Benchmark } from '@switchyard/gpu/benchmark';
import type { PublishedModel } from '@switchyard/models/testing';
import { type BenchRunner, openBenchRunner } from '../src/bench/bench-runner.ts';
import { Engine } from '../src/engine.ts';
import type { DoneEvent } from '../src/events.ts';
import type { EngineOptions } from '../src/options.ts';
import type { ModelRunner } from '../src/runners/runner.ts';
import { RUNNER_NAMES, type RunnerName } from '../src/runners/runner-choice.ts';
import { DEFAULT_SAMPLING } from '../src/sampling/parameters.ts';
import { decodeTimes, tokenAt } from '../src/verify/decode-speed.ts';
import { writeReport } from './write-report.ts';

const MS_PER_SECOND = 1000;
const MICROSECONDS_PER_MS = 1000;
const CHECKED_PROMPT = 40;
const CHECKED_TOKENS = 16;
/** Tokens before any that counts: until JavaScript is compiled, the processor has more to do. */
const COMPILING_TOKENS = 4096;
/** Of the engine: room for a sequence of some thousand tokens of the published shapes. */
const KV_BYTES = 2 ** 30;

const { values } = parseArgs({
  options: {
    runner: { type: 'string', default: 'hip' },
    model: { type: 'string' },
    shape: { type: 'string' },
    context: { type: 'string', default: '1024' },
    tokens: { type: 'string', default: '512' },
    rounds: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
    out: { type: 'string' },
  },
});
const runnerName = runnerNamed(values.runner);
const shape = shapeNamed(values.shape);
const [context, tokens] = [Number(values.context), Number(values.tokens)];

function runnerNamed(name: string): RunnerName {
  const found = RUNNER_NAMES.find((known) => known === name);
  if (found === undefined) throw new TypeError(`--runner is ${name}. Take one of ${RUNNER_NAMES.join(', ')}`);
  return found;
}

function shapeNamed(name: string | undefined): PublishedModel | undefined {
  if (name === undefined || name === 'gpt-oss-20b' || name === 'gpt-oss-120b') return name;
  throw new TypeError(`--shape is ${name}. Take gpt-oss-20b or gpt-oss-120b`);
}

/** What is generated through an engine. */
async function generate(engine: Engine, promptIds: readonly number[], maxTokens: number): Promise<DoneEvent> {
  let done: DoneEvent | undefined;
  const request = { promptIds, maxTokens, temperature: 0, ignoreEndTokens: true, reusePrefix: false } as const;
  for await (const event of engine.generate(request)) if (event.type === 'done') done = event;
  if (done === undefined) throw new Error('The engine gave no end');
  return done;
}

/** Ids that both take. */
function promptOf(count: number): number[] {
  return Array.from({ length: count }, (_, index) => tokenAt(0, index, engine.tokenizer.vocabularySize));
}

/** The greedy tokens that a runner by itself continues a prompt with. */
async function continuation(runner: ModelRunner, prompt: readonly number[], count: number): Promise<number[]> {
  const sequence = runner.createSequence();
  const sampler = runner.openSampler({ ...DEFAULT_SAMPLING, seed: 0, logitBias: [] }, Int32Array.from(prompt));
  try {
    const found: number[] = [];
    let next = Int32Array.from(prompt);
    while (found.length < count) {
      const [output] = await runner.submit([{ sequence, tokens: next, want: 'token', sampler }]).outputs;
      if (output === undefined || output.failure !== undefined) throw output?.failure ?? new Error('No output');
      found.push(output.token);
      next = Int32Array.of(output.token);
    }
    return found;
  } finally {
    runner.closeSampler(sampler);
    runner.releaseSequence(sequence);
  }
}

/** One core's share that this process took since `since`. */
function processorShare(since: NodeJS.CpuUsage, started: number): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / MICROSECONDS_PER_MS / (performance.now() - started);
}

const longest = Math.max(context + tokens, CHECKED_PROMPT + COMPILING_TOKENS) + 1;
const engineOptions: EngineOptions = {
  maxSequences: 1,
  kvCacheBytes: KV_BYTES,
  maxCachedPrefixes: 0,
  ...(shape === undefined
    ? { runner: runnerName }
    : { runnerModule: new URL('./synthetic-runner.ts', import.meta.url).href, runnerOptions: shape }),
};
await using engine = await Engine.load(values.model, engineOptions);
await using opened: BenchRunner = await openBenchRunner({
  runner: runnerName,
  device: undefined,
  model: values.model,
  shape,
  // The engine has the embedded model's tokens.
  ...(shape !== undefined && { candidates: engine.tokenizer.vocabularySize }),
  rooms: [{ sequences: 1, tokens: longest }],
});
const { runner, driver } = opened;

const benchmark = new Benchmark({
  name: 'engine-beside-runner',
  manifest: new URL('../package.json', import.meta.url),
  packages: ['@switchyard/gpu', '@switchyard/models', '@switchyard/router-kernel', 'koffi'],
  gpu:
    driver === null
      ? null
      : { name: driver.info.name, architecture: driver.info.architecture, driver: driver.info.driverVersion },
  settings: { runner: runner.name, model: opened.model },
});
const checkedPrompt = promptOf(CHECKED_PROMPT);
const check = await benchmark.check('engine', `${CHECKED_TOKENS} greedy tokens of both`, async () => {
  const { ids } = await generate(engine, checkedPrompt, CHECKED_TOKENS);
  const alone = await continuation(runner, checkedPrompt, CHECKED_TOKENS);
  return ids.join() === alone.join() ? [] : [`${ids.join()} through the engine, ${alone.join()} by the runner`];
});

const prompt = promptOf(context);
const shares: Record<'engine' | 'runner', number[]> = { engine: [], runner: [] };
const throughEngine = async (round: number): Promise<number> => {
  const [cpu, started] = [process.cpuUsage(), performance.now()];
  const { timings } = await generate(engine, prompt, tokens);
  if (round >= 0) shares.engine.push(processorShare(cpu, started));
  return timings.decodeTokensPerSecond;
};
const byItself = async (round: number): Promise<number> => {
  const times = await decodeTimes(runner, { sequences: 1, context, steps: tokens, warmUpSteps: 0 });
  if (round >= 0) shares.runner.push(times.processorShare);
  return (MS_PER_SECOND * tokens) / times.milliseconds.reduce((sum, time) => sum + time, 0);
};
await generate(engine, checkedPrompt, COMPILING_TOKENS);
await decodeTimes(runner, { sequences: 1, context: CHECKED_PROMPT, steps: COMPILING_TOKENS, warmUpSteps: 0 });
const parameters = { context, tokens };
const [engineRates, runnerRates] = await benchmark.measure({
  name: 'decode, one sequence',
  unit: 'tokens/s',
  better: 'higher',
  parameters,
  rounds: Number(values.rounds),
  contenders: [
    { name: 'engine', check, sample: throughEngine },
    { name: 'runner', check, sample: byItself },
  ],
});
const about = { parameters, check } as const;
benchmark.record({
  ...about,
  name: 'share of the runner by itself',
  contender: 'engine',
  unit: 'share',
  better: 'higher',
  samples: [(engineRates?.median ?? Number.NaN) / (runnerRates?.median ?? Number.NaN)],
});
for (const contender of ['engine', 'runner'] as const) {
  benchmark.record({
    ...about,
    name: 'processor time of one core',
    contender,
    unit: 'share',
    better: 'lower',
    samples: shares[contender],
  });
}
process.exitCode = await writeReport(benchmark, values);
