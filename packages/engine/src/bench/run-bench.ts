/**
 * How fast a runner decodes and prefills a model on this machine, and what share of the device's bandwidth that takes.
 * Nothing is timed before its tokens were found to be the same alone and in company.
 */

import { Benchmark, medianOf } from '@switchyard/gpu/benchmark';
import type { BenchmarkCheck, BenchmarkReport } from '@switchyard/gpu/benchmark';
import type { PublishedModel } from '@switchyard/models/testing';
import type { RunnerName } from '../runners/runner-choice.ts';
import { kvElementBytes } from '../runners/kv-bytes.ts';
import { RUNNERS } from '../runners/runner-table.ts';
import type { ModelRunner, SequenceStep } from '../runners/runner.ts';
import { DEFAULT_SAMPLING, type SamplingParameters } from '../sampling/parameters.ts';
import { COMPILING_STEPS, decodeTimes, prefill, tokenAt } from '../verify/decode-speed.ts';
import { type BenchRunner, measuredGpu, openBenchRunner } from './bench-runner.ts';
import { BANDWIDTH, DECODE, DECODE_AT_DEPTH, PREFILL } from './series-names.ts';
import { leastStepBytes } from './step-bytes.ts';

/** What is measured. */
export interface BenchOptions {
  readonly runner: RunnerName;
  /** `EngineOptions.device`. */
  readonly device: number | string | undefined;
  /** A checkpoint's folder. Defaults to the embedded model. */
  readonly model: string | undefined;
  /** A published shape, with weights made on the device, instead of a checkpoint. */
  readonly shape: PublishedModel | undefined;
  /** Sequences side by side that decoding is measured with. */
  readonly batches: readonly number[];
  /** Tokens of each sequence before the first measured step. */
  readonly context: number;
  /**
   * Tokens of context at which decoding of one sequence is measured besides, read in the runner's own pieces. Where that and
   * the steps are more than the model's context, the last step has all of it.
   */
  readonly depths: readonly number[];
  /** Steps that count. */
  readonly steps: number;
  /** Tokens of the prompts that prefill is measured with. */
  readonly prompts: readonly number[];
  /** Above 0, tokens are drawn. */
  readonly temperature: number;
  /** See `BenchmarkDescription.commit`. */
  readonly commit?: string | undefined;
}

const WARM_UP_STEPS = 16;
const COMPILING_CONTEXT = 64;
const PREFILL_REPEATS = 3;
const CHECKED_TOKENS = 8;
const CHECKED_PROMPT = 40;
const NANO = 1e-9;

export async function runBench(options: BenchOptions): Promise<BenchmarkReport> {
  const { batches, context, depths, steps, prompts, temperature } = options;
  const sequences = Math.max(...batches);
  const decoded = WARM_UP_STEPS + steps;
  await using opened = await openBenchRunner({
    ...options,
    rooms: [
      { sequences, tokens: Math.max(context + decoded, CHECKED_PROMPT + CHECKED_TOKENS) },
      { sequences: 1, tokens: Math.max(COMPILING_CONTEXT + COMPILING_STEPS, ...prompts) },
      { sequences: 1, tokens: Math.max(0, ...depths) + decoded },
    ],
  });
  const { runner, model, driver } = opened;
  const benchmark = new Benchmark({
    name: 'switchyard bench',
    manifest: new URL('../../package.json', import.meta.url),
    packages: ['@switchyard/gpu', '@switchyard/models', '@switchyard/router-kernel', 'onnxruntime-node'],
    gpu: driver === null ? null : measuredGpu(driver),
    settings: { runner: runner.name, model, temperature, warmUpSteps: WARM_UP_STEPS, kv: opened.kv },
    commit: options.commit,
  });
  const check = await benchmark.check(runner.name, 'tokens of a sequence alone with those in company', () =>
    companyProblems(runner, sequences),
  );
  if (check === null) return benchmark.finish();
  const bandwidth = await recordBandwidth(benchmark, opened, check);
  if (driver !== null) {
    await decodeTimes(runner, { sequences: 1, context: COMPILING_CONTEXT, steps: COMPILING_STEPS, warmUpSteps: 0 });
  }
  const decoding: Decoding = { benchmark, opened, check, bandwidth, steps, sampling: samplingOf(temperature) };
  // As the engine reads a prompt that nobody waits beside.
  const { prefillChunk } = RUNNERS[options.runner];
  const chunk = prefillChunk * (runner.piecesTogether?.(prefillChunk) ?? 1);
  for (const count of batches) await recordDecoding(decoding, DECODE, { sequences: count, context });
  for (const depth of depths) {
    const deepest = opened.config.contextLength - decoded;
    await recordDecoding(decoding, DECODE_AT_DEPTH, { sequences: 1, context: Math.min(depth, deepest), chunk });
  }
  for (const prompt of prompts) {
    const rates: number[] = [];
    for (let repeat = 0; repeat <= PREFILL_REPEATS; repeat++) {
      const sequence = runner.createSequence();
      const started = performance.now();
      await prefill(runner, sequence, repeat, prompt, chunk);
      // The first one meets kernels and positions for the first time.
      if (repeat > 0) rates.push((1000 * prompt) / (performance.now() - started));
      runner.releaseSequence(sequence);
    }
    benchmark.record({
      name: PREFILL,
      contender: runner.name,
      unit: 'tokens/s',
      better: 'higher',
      parameters: { tokens: prompt, chunk },
      check,
      samples: rates,
    });
  }
  return benchmark.finish();
}

/** What all measurements of decoding have in common. */
interface Decoding {
  readonly benchmark: Benchmark;
  readonly opened: BenchRunner;
  readonly check: BenchmarkCheck;
  /** Bytes a second; null without a GPU. */
  readonly bandwidth: number | null;
  readonly steps: number;
  readonly sampling: SamplingParameters;
}

async function recordDecoding(
  { benchmark, opened, check, bandwidth, steps, sampling }: Decoding,
  name: string,
  size: { readonly sequences: number; readonly context: number; readonly chunk?: number },
): Promise<void> {
  const { runner, config, kv } = opened;
  const { sequences, context } = size;
  const { milliseconds, prefillMs, processorShare } = await decodeTimes(runner, {
    ...size,
    steps,
    warmUpSteps: WARM_UP_STEPS,
    sampling,
  });
  const least = leastStepBytes(config, { sequences, context, kvElementBytes: kvElementBytes(kv) });
  const middle = medianOf(milliseconds.toSorted((a, b) => a - b));
  benchmark.record({
    name,
    contender: runner.name,
    unit: 'tokens/s',
    better: 'higher',
    parameters: size,
    check,
    samples: milliseconds.map((time) => (1000 * sequences) / time),
    facts: {
      millisecondsAStep: middle,
      leastBytesAStep: least,
      prefillMilliseconds: prefillMs,
      processorShare,
      ...(bandwidth === null ? {} : { shareOfBandwidth: (1000 * least) / middle / bandwidth }),
    },
  });
}

/** Bytes a second; null without a GPU. */
async function recordBandwidth(
  benchmark: Benchmark,
  { driver, config, runner }: BenchRunner,
  check: BenchmarkCheck,
): Promise<number | null> {
  if (driver === null) return null;
  const { measureReadBandwidth } = await import('../runners/hip/index.ts');
  const bandwidth = await measureReadBandwidth(driver, config);
  benchmark.record({
    name: BANDWIDTH,
    contender: runner.name,
    unit: 'GB/s',
    better: 'higher',
    check,
    samples: [bandwidth * NANO],
  });
  return bandwidth;
}

function samplingOf(temperature: number): SamplingParameters {
  return { ...DEFAULT_SAMPLING, temperature, seed: 0, logitBias: [] };
}

/** What greedy tokens of a sequence alone differ in from those beside `sequences` - 1 others. */
async function companyProblems(runner: ModelRunner, sequences: number): Promise<string[]> {
  const alone = await greedyTokens(runner, 1);
  const inCompany = await greedyTokens(runner, sequences);
  const problems: string[] = [];
  if (alone.join() !== inCompany.join()) problems.push(`alone ${alone.join()}, in company ${inCompany.join()}`);
  if (alone.some((token) => token < 0)) problems.push('logits that are no numbers');
  return problems;
}

/** Greedy tokens of the first of some sequences that are decoded side by side. */
async function greedyTokens(runner: ModelRunner, count: number): Promise<number[]> {
  const sequences = Array.from({ length: count }, () => runner.createSequence());
  const samplers = sequences.map(() => runner.openSampler(samplingOf(0), new Int32Array(0)));
  try {
    for (const [index, sequence] of sequences.entries()) await prefill(runner, sequence, index, CHECKED_PROMPT);
    const tokens: number[] = [];
    for (let step = 0; step < CHECKED_TOKENS; step++) {
      const batch = sequences.map((sequence, index): SequenceStep => {
        const first = Int32Array.of(tokenAt(index, CHECKED_PROMPT, runner.vocabularySize));
        const sampler = samplers[index];
        return {
          sequence,
          tokens: step === 0 ? first : 'sampled',
          want: 'token',
          ...(sampler !== undefined && { sampler }),
        };
      });
      const [output] = await runner.submit(batch).outputs;
      if (output?.failure !== undefined) throw output.failure;
      tokens.push(output?.token ?? -1);
    }
    return tokens;
  } finally {
    for (const sampler of samplers) runner.closeSampler(sampler);
    for (const sequence of sequences) runner.releaseSequence(sequence);
  }
}
