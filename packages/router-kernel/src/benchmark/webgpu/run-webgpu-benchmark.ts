/** `router-kernel bench --backend webgpu`: the router's dispatch beside HIP's, and whole calls beside ONNX Runtime's. */

import { Benchmark } from '@switchyard/gpu/benchmark';
import type { BenchmarkContender, BenchmarkReport } from '@switchyard/gpu/benchmark';
import { reasonOf } from '@switchyard/gpu/errors';
import type { LogitsDtype } from '../../contract.ts';
import { createWebGpuRouter } from '../../webgpu/index.ts';
import type { ExchangePath, WebGpuRouter } from '../../webgpu/index.ts';
import { turnsOf } from '../hip/launch-timer.ts';
import { benchmarkLogits } from '../logits.ts';
import type { BenchmarkShape } from '../logits.ts';
import { ROUTING_CHECK, routingProblems } from '../routing-check.ts';
import { readyDispatches } from './dispatches.ts';
import { openHipRival } from './hip-rival.ts';
import type { HipRival } from './hip-rival.ts';
import { openOnnxRival, OPERATOR_COPIES, SOFTMAX_TOP_K_CHECK, softmaxTopKProblems } from './onnx-rival.ts';
import type { OnnxRival } from './onnx-rival.ts';

/** A shape, and how it is routed. */
export interface WebGpuSeries {
  readonly experts: number;
  readonly topK: number;
  readonly dtype: LogitsDtype;
  /** Defaults to `'auto'`. */
  readonly path?: ExchangePath;
  /** Whether whole calls are measured too, beside ONNX Runtime's; of f32 logits, since its provider takes no bf16. */
  readonly calls: boolean;
}

/** gpt-oss-120b first. */
export const WEBGPU_SERIES: readonly WebGpuSeries[] = [
  { experts: 128, topK: 4, dtype: 'bf16', calls: true },
  { experts: 128, topK: 4, dtype: 'bf16', path: 'workgroup', calls: false },
  { experts: 128, topK: 4, dtype: 'f32', calls: false },
  { experts: 256, topK: 8, dtype: 'bf16', calls: false },
  { experts: 32, topK: 4, dtype: 'bf16', calls: false },
];

/** Token counts. */
export const WEBGPU_TOKENS: readonly number[] = [1, 4, 32, 128, 512, 1024, 2048, 4096, 16384, 65536];

/** What is measured. */
export interface WebGpuBenchmarkOptions {
  /** Defaults to `WEBGPU_SERIES`. */
  readonly series?: readonly WebGpuSeries[];
  /** Defaults to `WEBGPU_TOKENS`. */
  readonly tokens?: readonly number[];
  /** Run on SwiftShader, where HIP is not measured. Defaults to `false`. */
  readonly software?: boolean;
  /** Few repeats: figures that say little, in little time. Defaults to `false`. */
  readonly quick?: boolean;
  /** The commit, where git is not to be asked. */
  readonly commit?: string | undefined;
  readonly signal?: AbortSignal;
  /** Hears of progress. */
  readonly onLine?: (line: string) => void;
}

/** How much is measured. */
const EFFORT = {
  full: {
    // A pass is long: implementations round timestamps, some to 0.1 ms.
    dispatches: { passMicroseconds: 20_000, mostDispatches: 4000, warmUpMilliseconds: 200 },
    hip: { launches: 100, replays: 70 },
    calls: { rounds: 3, atLeastMilliseconds: 300 },
  },
  quick: {
    dispatches: { passMicroseconds: 100, mostDispatches: 3, warmUpMilliseconds: 0 },
    hip: { launches: 10, replays: 20 },
    calls: { rounds: 2, atLeastMilliseconds: 0 },
  },
} as const;

type Effort = (typeof EFFORT)['full' | 'quick'];

/** Runs the benchmark. @throws InvalidConfigError, BackendUnavailableError, UncheckedBenchmarkError */
export async function runWebGpuBenchmark(options: WebGpuBenchmarkOptions = {}): Promise<BenchmarkReport> {
  const { series = WEBGPU_SERIES, tokens = WEBGPU_TOKENS, software = false, quick = false } = options;
  const { commit, signal, onLine = () => undefined } = options;
  const effort = EFFORT[quick ? 'quick' : 'full'];
  // Routers share a device while one of them lives.
  await using deviceKeeper = await createWebGpuRouter({ experts: 1, topK: 1 }, { software });
  const benchmark = new Benchmark({
    name: `router-kernel bench --backend webgpu${software ? ' --software' : ''}`,
    manifest: new URL('../../../package.json', import.meta.url),
    packages: ['@switchyard/gpu', 'webgpu', 'onnxruntime-node'],
    gpu: { name: deviceKeeper.device, architecture: null, driver: null },
    settings: { passMicroseconds: effort.dispatches.passMicroseconds, hipLaunchesPerGraph: effort.hip.launches },
    commit,
    signal,
  });
  const rivals = new Rivals(benchmark, effort, software);
  for (const one of series) {
    await using router = await createSeriesRouter(one, one.dtype, software);
    const hip = await rivals.openHip(one);
    const onnx = one.calls ? await rivals.openOnnx(one) : null;
    try {
      for (const count of tokens) {
        signal?.throwIfAborted();
        onLine(`${router.device}, path ${router.path}, E ${one.experts}, K ${one.topK}, ${one.dtype}, T ${count}`);
        await measureDispatches(benchmark, router, hip, count, effort);
        if (one.calls) await measureCalls(benchmark, { series: one, software, onnx, tokens: count, effort });
      }
    } finally {
      hip?.dispose();
      await onnx?.dispose();
    }
  }
  return benchmark.finish();
}

function createSeriesRouter(
  { experts, topK, path }: WebGpuSeries,
  logitsDtype: LogitsDtype,
  software: boolean,
): Promise<WebGpuRouter> {
  return createWebGpuRouter({ experts, topK, logitsDtype }, { path: path ?? 'auto', software });
}

/** What the router is measured beside, where it starts; what does not is noted once. */
class Rivals {
  readonly #benchmark: Benchmark;
  readonly #effort: Effort;
  readonly #absent = new Set<string>();

  constructor(benchmark: Benchmark, effort: Effort, software: boolean) {
    this.#benchmark = benchmark;
    this.#effort = effort;
    if (software) this.#absent.add('HIP');
  }

  openHip(shape: BenchmarkShape): Promise<HipRival | null> {
    const { experts, topK, dtype } = shape;
    return this.#open('HIP', () => openHipRival({ experts, topK, dtype }, this.#effort.hip));
  }

  async openOnnx({ experts, topK }: WebGpuSeries): Promise<OnnxRival | null> {
    const rival = await this.#open('ONNX Runtime', () => openOnnxRival(experts, topK));
    if (rival?.isAllOnGpu === false) this.#benchmark.note('ONNX Runtime left some operators to the CPU.');
    return rival;
  }

  async #open<Rival>(name: string, open: () => Promise<Rival>): Promise<Rival | null> {
    if (this.#absent.has(name)) return null;
    try {
      return await open();
    } catch (error) {
      this.#absent.add(name);
      this.#benchmark.note(`${name} was not measured: ${reasonOf(error)}`);
      return null;
    }
  }
}

/** GPU time of a dispatch among many, beside HIP's launch among many, with the logits on the GPU. */
async function measureDispatches(
  benchmark: Benchmark,
  router: WebGpuRouter,
  hip: HipRival | null,
  tokens: number,
  effort: Effort,
): Promise<void> {
  const { experts, topK, logitsDtype: dtype } = router.config;
  const shape = { experts, topK, dtype };
  const logits = benchmarkLogits(shape, tokens);
  using dispatches = await readyDispatches(benchmark, router, logits, effort.dispatches);
  if (dispatches === null) {
    benchmark.note('GPU times were not measured: the device has no timestamp-query.');
    return;
  }
  using loaded = (await hip?.load(benchmark, logits, tokens)) ?? null;
  await benchmark.measure({
    name: 'dispatch',
    unit: 'µs',
    better: 'lower',
    parameters: { ...shape, path: router.path, tokens },
    rounds: turnsOf(effort.hip.replays),
    contenders: [...dispatches.contenders, ...(loaded?.contenders ?? [])],
  });
}

interface CallMeasurement {
  readonly series: WebGpuSeries;
  readonly software: boolean;
  readonly onnx: OnnxRival | null;
  readonly tokens: number;
  readonly effort: Effort;
}

/** Whole calls from host arrays to host arrays, f32 on both sides, and what ONNX Runtime's operators take on the GPU. */
async function measureCalls(benchmark: Benchmark, call: CallMeasurement): Promise<void> {
  const { series, onnx, software, tokens, effort } = call;
  const { experts, topK } = series;
  const shape = { experts, topK, dtype: 'f32' } as const;
  const logits = benchmarkLogits(shape, tokens);
  if (!(logits instanceof Float32Array)) throw new TypeError('Logits of dtype f32 are a Float32Array.');
  await using router = await createSeriesRouter(series, 'f32', software);
  const subject = `(${experts}, ${topK}) f32 T = ${tokens}`;
  const check = await benchmark.check(`webgpu call ${subject}`, ROUTING_CHECK, async () => {
    const { ids, weights } = await router.route(logits);
    return ids instanceof Int32Array ? routingProblems(shape, logits, { ids, weights }) : ['the ids are no i32'];
  });
  const contenders: BenchmarkContender[] = [
    { name: 'webgpu', check, sample: () => microsecondsOf(() => router.route(logits)) },
  ];
  const parameters = { ...shape, path: router.path, tokens };
  if (onnx !== null) {
    const checkOnnx = (what: string, run: OnnxRival['runOne']): ReturnType<Benchmark['check']> =>
      benchmark.check(`ONNX Runtime ${what} ${subject}`, SOFTMAX_TOP_K_CHECK, async () =>
        softmaxTopKProblems(logits, experts, topK, await run(logits)),
      );
    const one = await checkOnnx('call', (rows) => onnx.runOne(rows));
    const many = await checkOnnx('operators', (rows) => onnx.runMany(rows));
    contenders.push({ name: 'onnxruntime', check: one, sample: () => microsecondsOf(() => onnx.runOne(logits)) });
    await benchmark.measure({
      name: 'operators: Softmax, TopK and what chains them, from the difference of two graphs',
      unit: 'µs',
      better: 'lower',
      parameters,
      ...effort.calls,
      contenders: [
        {
          name: 'onnxruntime',
          check: one && many,
          sample: async () => {
            const short = await microsecondsOf(() => onnx.runOne(logits));
            const long = await microsecondsOf(() => onnx.runMany(logits));
            return (long - short) / (OPERATOR_COPIES - 1);
          },
        },
      ],
    });
  }
  await benchmark.measure({ name: 'call', unit: 'µs', better: 'lower', parameters, ...effort.calls, contenders });
}

async function microsecondsOf(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) * 1000;
}
