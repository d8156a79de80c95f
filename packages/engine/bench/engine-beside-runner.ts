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
import { type BenchRunner, measuredGpu, openBenchRunner } from '../dist/bench/bench-runner.js';
import { Engine } from '../dist/engine.js';
import type { GenerateResult } from '../dist/events.js';
import type { EngineOptions } from '../dist/options.js';
import type { ModelRunner } from '../dist/runners/runner.js';
import { DEFAULT_SAMPLING } from '../dist/sampling/parameters.js';
import { COMPILING_STEPS, decodeTimes, processorShare, tokenAt } from '../dist/verify/decode-speed.js';
import { runnerNamed, shapeNamed } from './named-options.ts';
import { embeddedTextIds, engineRunner } from './engine-runner.ts';
import { writeReport } from './write-report.ts';

const MS_PER_SECOND = 1000;
const CHECKED_PROMPT = 40;
const CHECKED_TOKENS = 16;
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

/** The answer through the engine. */
function generate(promptIds: readonly number[], maxTokens: number): Promise<GenerateResult> {
  return engine.complete({ promptIds, maxTokens, temperature: 0, ignoreEndTokens: true, reusePrefix: false });
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

const longest = Math.max(context + tokens, CHECKED_PROMPT + COMPILING_STEPS) + 1;
const engineOptions: EngineOptions = {
  maxSequences: 1,
  kvCacheBytes: KV_BYTES,
  maxCachedPrefixes: 0,
  ...(await engineRunner(runnerName, shape)),
};
await using engine = await Engine.load(values.model, engineOptions);
await using opened: BenchRunner = await openBenchRunner({
  runner: runnerName,
  device: undefined,
  model: values.model,
  shape,
  // As the engine's has.
  ...(shape !== undefined && { candidates: await embeddedTextIds() }),
  rooms: [{ sequences: 1, tokens: longest }],
});
const { runner, driver } = opened;

const benchmark = new Benchmark({
  name: 'engine-beside-runner',
  manifest: new URL('../package.json', import.meta.url),
  packages: ['@switchyard/gpu', '@switchyard/models', '@switchyard/router-kernel', 'koffi'],
  gpu: driver === null ? null : measuredGpu(driver),
  settings: { runner: runner.name, model: opened.model },
});
const checkedPrompt = promptOf(CHECKED_PROMPT);
const check = await benchmark.check('engine', `${CHECKED_TOKENS} greedy tokens of both`, async () => {
  const { ids } = await generate(checkedPrompt, CHECKED_TOKENS);
  const alone = await continuation(runner, checkedPrompt, CHECKED_TOKENS);
  return ids.join() === alone.join() ? [] : [`${ids.join()} through the engine, ${alone.join()} by the runner`];
});

const prompt = promptOf(context);
const shares: Record<'engine' | 'runner', number[]> = { engine: [], runner: [] };
const throughEngine = async (round: number): Promise<number> => {
  const [cpu, started] = [process.cpuUsage(), performance.now()];
  const { timings } = await generate(prompt, tokens);
  if (round >= 0) shares.engine.push(processorShare(cpu, performance.now() - started));
  return timings.decodeTokensPerSecond;
};
const byItself = async (round: number): Promise<number> => {
  const times = await decodeTimes(runner, { sequences: 1, context, steps: tokens, warmUpSteps: 0 });
  if (round >= 0) shares.runner.push(times.processorShare);
  return (MS_PER_SECOND * tokens) / times.milliseconds.reduce((sum, time) => sum + time, 0);
};
await generate(checkedPrompt, COMPILING_STEPS);
await decodeTimes(runner, { sequences: 1, context: CHECKED_PROMPT, steps: COMPILING_STEPS, warmUpSteps: 0 });
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
