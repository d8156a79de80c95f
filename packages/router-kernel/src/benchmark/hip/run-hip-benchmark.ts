/** The router benchmark: every contender on every shape, checked against the reference before it is timed. */

import { uploadBytes } from '@switchyard/gpu';
import type { DeviceBuffer, GpuDriver, GpuStream } from '@switchyard/gpu';
import { Benchmark } from '@switchyard/gpu/benchmark';
import type { BenchmarkReport } from '@switchyard/gpu/benchmark';
import { openRouterLibrary } from '../../hip/router-library.ts';
import { benchmarkLogits } from '../logits.ts';
import type { BenchmarkShape } from '../logits.ts';
import { contendersFor } from './contenders.ts';
import type { Contender, ContenderName } from './contender.ts';
import { measureCopies, turnsOf } from './launch-timer.ts';
import type { MeasureOptions } from './launch-timer.ts';
import { readyContender } from './ready-contender.ts';
import type { BufferSet, ReadyContender } from './ready-contender.ts';

/** T of each shape's table. */
export const BENCHMARK_TOKENS: readonly number[] = [1, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 16384, 65536];

/** gpt-oss-120b first; then f32 logits, DeepSeek-V3, OLMoE, Kimi-K2, gpt-oss-20b, Mixtral and Qwen3; and f32 with ties. */
export const BENCHMARK_SHAPES: readonly BenchmarkShape[] = [
  { experts: 128, topK: 4, dtype: 'bf16' },
  { experts: 128, topK: 4, dtype: 'f32' },
  { experts: 256, topK: 8, dtype: 'bf16' },
  { experts: 64, topK: 8, dtype: 'bf16' },
  { experts: 384, topK: 8, dtype: 'bf16' },
  { experts: 32, topK: 4, dtype: 'bf16' },
  { experts: 8, topK: 2, dtype: 'bf16' },
  { experts: 128, topK: 8, dtype: 'bf16' },
  { experts: 128, topK: 4, dtype: 'f32', logits: 'ties' },
  { experts: 32, topK: 4, dtype: 'f32', logits: 'ties' },
  { experts: 128, topK: 8, dtype: 'f32', logits: 'ties' },
  { experts: 256, topK: 8, dtype: 'f32', logits: 'ties' },
  { experts: 64, topK: 8, dtype: 'f32', logits: 'ties' },
  { experts: 8, topK: 2, dtype: 'f32', logits: 'ties' },
];

/** What dispatch plans are compared on: gpt-oss-120b and -20b, Qwen3 and DeepSeek-V3 without its groups. */
export const PLAN_BENCHMARK_SHAPES: readonly BenchmarkShape[] = [
  { experts: 128, topK: 4, dtype: 'bf16' },
  { experts: 32, topK: 4, dtype: 'bf16' },
  { experts: 128, topK: 8, dtype: 'bf16' },
  { experts: 256, topK: 8, dtype: 'bf16' },
];

/** How a benchmark runs. */
export interface HipBenchmarkOptions {
  /** Defaults to `BENCHMARK_SHAPES`. */
  readonly shapes?: readonly BenchmarkShape[];
  /** Defaults to `BENCHMARK_TOKENS`. */
  readonly tokens?: readonly number[];
  /** Defaults to 100 launches a graph and 100 replays. */
  readonly measure?: MeasureOptions;
  /** Bytes of the copies that bandwidth is compared with: more than the L2 cache holds. Defaults to 1 GiB. */
  readonly copyBytes?: number;
  /** The commit, where git is not to be asked. */
  readonly commit?: string | undefined;
  readonly signal?: AbortSignal;
  /** Whom to time. Defaults to all. */
  readonly contenders?: readonly ContenderName[] | undefined;
  /** Gives the contenders of a shape, whatever `contenders` says. Defaults to those of this package. */
  readonly contendersOf?: (shape: BenchmarkShape) => Promise<readonly Contender[]>;
}

/** `'warm'`: one input again and again. `'cold'`: inputs and outputs in turn, together larger than the L2 cache. */
type CacheState = 'warm' | 'cold';

/** Buffers of a cold run hold this many times the L2 cache together. */
const COLD_CACHE_MULTIPLE = 3;
const COLD_TOKENS = 65536;
const COPY_BYTES = 1024 ** 3;

/** Runs it. @throws UncheckedBenchmarkError where every contender was wrong; what the driver throws */
export async function runHipBenchmark(driver: GpuDriver, options: HipBenchmarkOptions = {}): Promise<BenchmarkReport> {
  const { shapes = BENCHMARK_SHAPES, tokens = BENCHMARK_TOKENS, copyBytes = COPY_BYTES, commit, signal } = options;
  const measure = options.measure ?? { launches: 100, replays: 100 };
  const { name, architecture, driverVersion } = driver.info;
  const benchmark = new Benchmark({
    name: 'router-kernel bench --backend hip',
    manifest: new URL('../../../package.json', import.meta.url),
    packages: ['@switchyard/gpu'],
    gpu: { name, architecture, driver: driverVersion },
    settings: { launchesPerGraph: measure.launches, replays: measure.replays },
    commit,
    signal,
  });
  const library = openRouterLibrary(driver);
  const stream = driver.createStream();
  try {
    await benchmarkCopy(benchmark, driver, stream, copyBytes);
    for (const shape of shapes) {
      const contenders = await (options.contendersOf?.(shape) ??
        contendersFor(shape, driver, library, options.contenders));
      const runs: ReadonlyArray<readonly [number, CacheState]> = [
        ...tokens.map((count) => [count, 'warm'] as const),
        ...tokens
          .filter((count) => count >= COLD_TOKENS)
          .flatMap((count) => [[count, 'cold'] as const, [count * 4, 'cold'] as const]),
      ];
      for (const [count, cache] of runs) {
        signal?.throwIfAborted();
        await benchmarkShape(benchmark, { driver, stream, shape, contenders, tokens: count, cache, measure });
      }
    }
    benchmark.addVersion('kernel compiler', library.compilerVersion ?? 'ahead of time');
    return benchmark.finish();
  } finally {
    library.dispose();
    stream.destroy();
  }
}

async function benchmarkCopy(benchmark: Benchmark, driver: GpuDriver, stream: GpuStream, bytes: number): Promise<void> {
  const { samples, problems } = await measureCopies(driver, stream, bytes);
  const check = await benchmark.check('copy', 'the end of the copy with the source', () => problems);
  if (check === null) return;
  benchmark.record({
    name: 'copy, read and written',
    contender: 'runtime',
    unit: 'GB/s',
    better: 'higher',
    parameters: { bytes },
    check,
    samples,
  });
}

interface Run {
  readonly driver: GpuDriver;
  readonly stream: GpuStream;
  readonly shape: BenchmarkShape;
  readonly contenders: readonly Contender[];
  readonly tokens: number;
  readonly cache: CacheState;
  readonly measure: MeasureOptions;
}

/** Checks every contender, then times them in turns. `bytes` are those that must be read and written. */
async function benchmarkShape(benchmark: Benchmark, run: Run): Promise<void> {
  const { driver, stream, shape, contenders, tokens, cache, measure } = run;
  const slots = tokens * shape.topK;
  const logits = benchmarkLogits(shape, tokens);
  const bytes = logits.byteLength + slots * 8;
  const more = cache === 'warm' ? 0 : Math.ceil((COLD_CACHE_MULTIPLE * driver.info.l2CacheBytes) / bytes);
  const workspaceBytes = Math.max(16, ...contenders.map((one) => one.planWorkspaceBytes?.(tokens) ?? 0));
  const buffers: DeviceBuffer[] = [];
  const ready: ReadyContender[] = [];
  const allocate = (size: number): DeviceBuffer => {
    const buffer = driver.allocate(size);
    buffers.push(buffer);
    return buffer;
  };
  const loadSet = async (): Promise<BufferSet> => {
    const set = {
      logits: allocate(logits.byteLength),
      weights: allocate(slots * 4),
      ids: allocate(slots * 4),
      plan: {
        expertOffsets: allocate((shape.experts + 1) * 4),
        sortedSlots: allocate(slots * 4),
        workspace: allocate(workspaceBytes),
      },
    };
    driver.fill(set.plan.workspace.pointer, 0, workspaceBytes, stream);
    const host = new Uint8Array(logits.buffer, logits.byteOffset, logits.byteLength);
    await uploadBytes(driver, stream, set.logits.pointer, host);
    return set;
  };
  try {
    const sets: [BufferSet, ...BufferSet[]] = [await loadSet()];
    while (sets.length <= more) sets.push(await loadSet());
    const problem = { driver, stream, shape, tokens, logits, sets, measure };
    for (const contender of contenders) {
      const one = await readyContender(benchmark, problem, contender);
      if (one !== null) ready.push(one);
    }
    await benchmark.measure({
      name: 'launch',
      unit: 'µs',
      better: 'lower',
      parameters: { ...shape, tokens, cache, bytes },
      rounds: turnsOf(measure.replays),
      contenders: ready,
    });
  } finally {
    for (const one of ready) one[Symbol.dispose]();
    for (const buffer of buffers) buffer.free();
  }
}
