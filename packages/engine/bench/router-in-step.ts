/**
 * What the router costs inside a step of the whole model on a GPU, and what other routers would make of the same step: steps
 * of a published shape with weights made on the device, with
 *
 * - `fused`: the router as the runner has it, in the kernels of the experts;
 * - `apart`: this project's router in a launch of its own;
 * - `prepared`: ids that were chosen before: the step without a router;
 * - `vllm`, `flydsl_first`, `flydsl_newest`: kernels after the algorithms that these published, in launches of their own.
 *
 *   node --import=tsx/esm bench/router-in-step.ts [--shape gpt-oss-120b] [--sequences 4] [--contexts 1024,4096,9216]
 *     [--steps 256] [--json] [--out FILE] [--commit HASH]
 *
 * All have the same weights and take their turns step by step in pieces of 32 steps. Times are the device's own, from the end
 * of one step to the end of the next, with two under way; the wall clock's beside them.
 */

import { parseArgs } from 'node:util';
import { CompileCache, KernelLibrary, openGpuDriver } from '@switchyard/gpu';
import type { GpuDriver, GpuEvent, GpuStream } from '@switchyard/gpu';
import { Benchmark, type BenchmarkCheck } from '@switchyard/gpu/benchmark';
import type { GptOssConfig } from '@switchyard/models';
import { publishedConfig, type PublishedModel } from '@switchyard/models/testing';
import { contendersFor } from '../../router-kernel/src/benchmark/hip/contenders.ts';
import { measuredGpu } from '../src/bench/bench-runner.ts';
import { createSyntheticHipRunner } from '../src/runners/hip/create-hip-runner.ts';
import { HIP_ENTRY } from '../src/runners/hip/hip-entry.ts';
import type { RoutingChoice } from '../src/runners/hip/routing-before.ts';
import { MOST_ROWS_BY_SLOT } from '../src/runners/hip/sizes.ts';
import { syntheticWeights } from '../src/runners/hip/synthetic-weights.ts';
import type { ModelRunner, SequenceStep, SubmittedStep } from '../src/runners/runner.ts';
import { MOST_STEPS_UNDER_WAY } from '../src/runners/runner.ts';
import { sampledOnHost } from '../src/runners/sampled-on-host.ts';
import { DEFAULT_SAMPLING } from '../src/sampling/parameters.ts';
import { tokenAt } from '../src/verify/decode-speed.ts';
import { writeReport } from './write-report.ts';

/** Steps of one contender before the next has its turn, and of them those that only warm up. */
const STEPS_OF_TURN = 32;
const WARM_UP = 4;
/** Tokens of a step of prefill. */
const PREFILL = 1024;
const CHECKED_TOKENS = 8;
const BASELINES = ['vllm', 'flydsl_first', 'flydsl_newest'] as const;

const { values } = parseArgs({
  options: {
    shape: { type: 'string', default: 'gpt-oss-120b' },
    sequences: { type: 'string', default: '4' },
    contexts: { type: 'string', default: '1024,4096,9216' },
    steps: { type: 'string', default: '256' },
    commit: { type: 'string' },
    json: { type: 'boolean', default: false },
    out: { type: 'string' },
  },
});

/** A runner with its sequences, and where its steps are timed. */
interface Contender {
  readonly name: string;
  readonly runner: ModelRunner;
  readonly stream: GpuStream;
  readonly sequences: readonly number[];
  readonly samplers: readonly number[];
  tokens: number;
}

/** The driver with the stream that a runner makes of it. */
function watched(driver: GpuDriver): { readonly driver: GpuDriver; readonly stream: () => GpuStream } {
  let first: GpuStream | null = null;
  const own = new Proxy(driver, {
    get(target, name) {
      if (name === 'createStream') {
        return (): GpuStream => {
          const stream = target.createStream();
          first ??= stream;
          return stream;
        };
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
  return {
    driver: own,
    stream: () => {
      if (first === null) throw new Error('The runner has made no stream.');
      return first;
    },
  };
}

/** Distinct experts for each of a step's rows, other ones in every layer. */
function preparedIds({ layers, experts, expertsPerToken }: GptOssConfig): Int32Array {
  const slots = MOST_ROWS_BY_SLOT * expertsPerToken;
  return Int32Array.from({ length: layers * slots }, (_, index) => {
    const [layer, slot] = [Math.floor(index / slots), index % slots];
    return (layer * 31 + slot * 7) % experts;
  });
}

async function choicesOf(driver: GpuDriver, config: GptOssConfig): Promise<Map<string, RoutingChoice | undefined>> {
  const library = new KernelLibrary(driver, { cache: new CompileCache({}) });
  const shape = { experts: config.experts, topK: config.expertsPerToken, dtype: 'f32' } as const;
  const found = await contendersFor(shape, driver, library, ['switchyard', ...BASELINES]);
  const choices = new Map<string, RoutingChoice | undefined>([['fused', undefined]]);
  choices.set('prepared', { enqueue: () => undefined, ids: preparedIds(config) });
  for (const contender of found) {
    await contender.prepare(MOST_ROWS_BY_SLOT);
    const name = contender.name === 'switchyard' ? 'apart' : contender.name;
    choices.set(name, { enqueue: (stream, rows, at) => contender.enqueue(stream as GpuStream, rows, at) });
  }
  return choices;
}

/** Appends tokens until each sequence has `context`. */
async function prefillTo(contender: Contender, context: number): Promise<void> {
  const { runner, sequences } = contender;
  for (const [index, sequence] of sequences.entries()) {
    for (let from = contender.tokens; from < context; from += PREFILL) {
      const count = Math.min(PREFILL, context - from);
      const tokens = Int32Array.from({ length: count }, (_, at) => tokenAt(index, from + at, runner.vocabularySize));
      await runner.submit([{ sequence, tokens, want: 'none' }]).outputs;
    }
  }
  contender.tokens = Math.max(contender.tokens, context);
}

/** Some steps: what the device took for each, in milliseconds, and what each took by the wall clock; and the tokens. */
async function takeSteps(driver: GpuDriver, contender: Contender, count: number) {
  const { runner, stream, sequences, samplers } = contender;
  const events: GpuEvent[] = [];
  const record = (): void => {
    const event = driver.createEvent();
    event.record(stream);
    events.push(event);
  };
  const submit = (step: number): SubmittedStep =>
    runner.submit(
      sequences.map((sequence, index): SequenceStep => {
        const first = Int32Array.of(tokenAt(index, contender.tokens, runner.vocabularySize));
        const sampler = samplers[index];
        const tokens = step === 0 ? first : 'sampled';
        return { sequence, tokens, want: 'token', ...(sampler !== undefined && { sampler }) };
      }),
    );
  const tokens: number[][] = [];
  const wall: number[] = [];
  const underWay: SubmittedStep[] = [];
  let last = performance.now();
  record();
  for (let step = 0; step < count + MOST_STEPS_UNDER_WAY - 1; step++) {
    if (step < count) {
      underWay.push(submit(step));
      // The step is enqueued in the turns of the event loop that follow, before the next is submitted.
      await new Promise(setImmediate);
      record();
    }
    if (step + 1 < MOST_STEPS_UNDER_WAY) continue;
    const outputs = (await underWay.shift()?.outputs) ?? [];
    tokens.push(outputs.map(({ token }) => token));
    const now = performance.now();
    wall.push(now - last);
    last = now;
  }
  contender.tokens += count;
  const device = events.slice(1).map((event, index) => event.elapsedSince(events[index] as GpuEvent));
  for (const event of events) event.destroy();
  return { device, wall, tokens };
}

async function main(): Promise<number> {
  const config = publishedConfig(values.shape as PublishedModel);
  const contexts = values.contexts.split(',').map(Number);
  const [count, steps] = [Number(values.sequences), Number(values.steps)];
  if (count > MOST_ROWS_BY_SLOT) throw new RangeError(`--sequences takes up to ${MOST_ROWS_BY_SLOT}.`);
  const driver = openGpuDriver();
  const benchmark = new Benchmark({
    name: 'router-in-step',
    manifest: new URL('../package.json', import.meta.url),
    packages: ['@switchyard/router-kernel'],
    gpu: measuredGpu(driver),
    settings: { shape: values.shape, sequences: count, steps, stepsOfTurn: STEPS_OF_TURN },
    commit: values.commit,
  });
  const loading = driver.createStream();
  const weights = await syntheticWeights(driver, loading, config);
  const most = Math.max(...contexts) + steps * (1 + STEPS_OF_TURN / (STEPS_OF_TURN - WARM_UP)) + 1024;
  const contenders: Contender[] = [];
  for (const [name, routing] of await choicesOf(driver, config)) {
    const own = watched(driver);
    const runner = sampledOnHost(
      await createSyntheticHipRunner({
        config,
        weights,
        kvCacheBytes: count * HIP_ENTRY.kvBytes(config, 'bf16')(most),
        driver: own.driver,
        ...(routing === undefined ? {} : { routing }),
      }),
      { routing: { layers: config.layers, experts: config.experts, topK: config.expertsPerToken } },
    );
    const sequences = Array.from({ length: count }, () => runner.createSequence());
    const samplers = sequences.map(() =>
      runner.openSampler({ ...DEFAULT_SAMPLING, temperature: 0, seed: 0, logitBias: [] }, new Int32Array(0)),
    );
    contenders.push({ name, runner, stream: own.stream(), sequences, samplers, tokens: 0 });
  }
  try {
    const checks = new Map<string, BenchmarkCheck | null>();
    const expected: string[] = [];
    for (const contender of contenders) {
      await prefillTo(contender, contexts[0] ?? 1024);
      const { tokens } = await takeSteps(driver, contender, CHECKED_TOKENS);
      const found = tokens.join(';');
      if (contender.name === 'fused') expected.push(found);
      const isSame = contender.name !== 'prepared';
      const what = isSame ? 'greedy tokens with those of the fused router' : 'tokens are ids of the vocabulary';
      const check = await benchmark.check(contender.name, what, () => {
        if (tokens.flat().some((token) => token < 0)) return ['logits that are no numbers'];
        return !isSame || found === expected[0] ? [] : [`tokens ${found}, where ${expected[0]} are due`];
      });
      checks.set(contender.name, check);
    }
    for (const context of contexts) {
      const samples = new Map(contenders.map(({ name }) => [name, { device: [] as number[], wall: [] as number[] }]));
      for (const contender of contenders) await prefillTo(contender, context);
      const turns = Math.ceil(steps / (STEPS_OF_TURN - WARM_UP));
      for (let turn = 0; turn < turns; turn++) {
        for (const contender of turn % 2 === 0 ? contenders : contenders.toReversed()) {
          const { device, wall } = await takeSteps(driver, contender, STEPS_OF_TURN);
          samples.get(contender.name)?.device.push(...device.slice(WARM_UP, -1));
          samples.get(contender.name)?.wall.push(...wall.slice(WARM_UP, -1));
        }
      }
      for (const { name } of contenders) {
        const check = checks.get(name) ?? null;
        if (check === null) continue;
        const parameters = { context };
        const { device = [], wall = [] } = samples.get(name) ?? {};
        const about = { contender: name, parameters, check } as const;
        benchmark.record({
          ...about,
          name: "a step, by the device's clock",
          unit: 'ms',
          better: 'lower',
          samples: device,
        });
        const rates = wall.map((time) => (1000 * count) / time);
        benchmark.record({ ...about, name: 'decode', unit: 'tokens/s', better: 'higher', samples: rates });
      }
    }
  } finally {
    for (const { runner } of contenders) await runner.dispose();
    weights.free();
    loading.destroy();
    driver.dispose();
  }
  return writeReport(benchmark, values);
}

process.exitCode = await main();
