/** The router benchmark: every contender on every shape, checked against the reference before it is timed. */

import { downloadBytes, uploadBytes } from '@switchyard/gpu';
import type { DeviceBuffer, GpuDeviceInfo, GpuDriver, GpuStream, KernelResources } from '@switchyard/gpu';
import type { Logits } from '../../contract.ts';
import { checkRouteArguments } from '../../resolve-config.ts';
import { encodeLogits } from '../../number-formats.ts';
import { compareOutput } from '../../suite/compare-output.ts';
import { normal, seededRandom } from '../../suite/seeded-random.ts';
import { logitBytes } from '../../derived-config.ts';
import { type BenchmarkShape, configOf, type Contender, type ContenderName, contendersFor } from './contenders.ts';
import { measureCopyBandwidth, measureLaunches, type MeasureOptions, type Timing } from './measure.ts';
import { openRouterLibrary } from '../router-library.ts';

/** T of each shape's table. */
export const BENCHMARK_TOKENS: readonly number[] = [1, 16, 32, 64, 128, 1024, 4096, 16384, 65536];

/** gpt-oss-120b first; then f32 logits, DeepSeek-V3, OLMoE, Kimi-K2, gpt-oss-20b, Mixtral and Qwen3. */
export const BENCHMARK_SHAPES: readonly BenchmarkShape[] = [
  { experts: 128, topK: 4, dtype: 'bf16' },
  { experts: 128, topK: 4, dtype: 'f32' },
  { experts: 256, topK: 8, dtype: 'bf16' },
  { experts: 64, topK: 8, dtype: 'bf16' },
  { experts: 384, topK: 8, dtype: 'bf16' },
  { experts: 32, topK: 4, dtype: 'bf16' },
  { experts: 8, topK: 2, dtype: 'bf16' },
  { experts: 128, topK: 8, dtype: 'bf16' },
];

/** One figure. */
export interface BenchmarkResult extends BenchmarkShape {
  readonly tokens: number;
  /** `'warm'`: one input again and again. `'cold'`: inputs and outputs in turn, together larger than the L2 cache. */
  readonly cache: 'warm' | 'cold';
  readonly contender: ContenderName;
  readonly medianMicroseconds: number;
  readonly p99Microseconds: number;
  /** Bytes that must be read and written, over the median time. */
  readonly bytesPerSecond: number;
  readonly resources: KernelResources;
}

/** What a benchmark found. */
export interface BenchmarkReport {
  readonly device: GpuDeviceInfo;
  readonly compiler: string | null;
  readonly node: string;
  readonly launchesPerGraph: number;
  readonly replays: number;
  /** Bytes read and written a second by the runtime's copy between buffers larger than the L2 cache. */
  readonly copyBytesPerSecond: number;
  readonly results: readonly BenchmarkResult[];
  /** Contenders that were not timed because their answers were wrong, in words. */
  readonly wrong: readonly string[];
}

/** How a benchmark runs. */
export interface BenchmarkOptions {
  /** Defaults to `BENCHMARK_SHAPES`. */
  readonly shapes?: readonly BenchmarkShape[];
  /** Defaults to `BENCHMARK_TOKENS`. */
  readonly tokens?: readonly number[];
  /** Defaults to 100 launches a graph and 100 replays. */
  readonly measure?: MeasureOptions;
  readonly onResult?: (result: BenchmarkResult) => void;
  readonly signal?: AbortSignal;
}

const POISON = 0xa5;
/** Rows that are compared with the reference, spread over all T. */
const CHECKED_ROWS = 1024;
/** Buffers of a cold run hold this many times the L2 cache together. */
const COLD_CACHE_MULTIPLE = 3;
const COLD_TOKENS = 65536;
const COPY_BYTES = 1024 ** 3;

/** Runs it. Throws what the driver throws. */
export async function runBenchmark(driver: GpuDriver, options: BenchmarkOptions = {}): Promise<BenchmarkReport> {
  const { shapes = BENCHMARK_SHAPES, tokens = BENCHMARK_TOKENS, signal } = options;
  const measure = options.measure ?? { launches: 100, replays: 100 };
  const library = openRouterLibrary(driver);
  const stream = driver.createStream();
  const results: BenchmarkResult[] = [];
  const wrong: string[] = [];
  try {
    const copyBytesPerSecond = await measureCopyBandwidth(driver, stream, COPY_BYTES);
    for (const shape of shapes) {
      const contenders = await contendersFor(shape, driver, library);
      const runs: ReadonlyArray<readonly [number, 'warm' | 'cold']> = [
        ...tokens.map((count) => [count, 'warm'] as const),
        ...tokens
          .filter((count) => count >= COLD_TOKENS)
          .flatMap((count) => [[count, 'cold'] as const, [count * 4, 'cold'] as const]),
      ];
      for (const [count, cache] of runs) {
        signal?.throwIfAborted();
        const found = await runOne({ driver, stream, shape, contenders, count, cache, measure });
        wrong.push(...found.wrong);
        for (const result of found.results) {
          results.push(result);
          options.onResult?.(result);
        }
      }
    }
    return {
      device: driver.info,
      compiler: library.compilerVersion,
      node: process.version,
      launchesPerGraph: measure.launches,
      replays: measure.replays,
      copyBytesPerSecond,
      results,
      wrong,
    };
  } finally {
    library.dispose();
    stream.destroy();
  }
}

interface Run {
  readonly driver: GpuDriver;
  readonly stream: GpuStream;
  readonly shape: BenchmarkShape;
  readonly contenders: readonly Contender[];
  readonly count: number;
  readonly cache: 'warm' | 'cold';
  readonly measure: MeasureOptions;
}

interface BufferSet {
  readonly logits: DeviceBuffer;
  readonly weights: DeviceBuffer;
  readonly ids: DeviceBuffer;
}

async function runOne(
  run: Run,
): Promise<{ readonly results: readonly BenchmarkResult[]; readonly wrong: readonly string[] }> {
  const { driver, stream, shape, contenders, count, cache, measure } = run;
  const slots = count * shape.topK;
  const logits = randomLogits(shape, count);
  const bytes = logits.byteLength + slots * 8;
  const copies = cache === 'warm' ? 1 : Math.ceil((COLD_CACHE_MULTIPLE * driver.info.l2CacheBytes) / bytes) + 1;
  const sets: BufferSet[] = [];
  try {
    for (let copy = 0; copy < copies; copy += 1) {
      const logitsBuffer = driver.allocate(logits.byteLength);
      sets.push({ logits: logitsBuffer, weights: driver.allocate(slots * 4), ids: driver.allocate(slots * 4) });
      const host = new Uint8Array(logits.buffer, logits.byteOffset, logits.byteLength);
      await uploadBytes(driver, stream, logitsBuffer.pointer, host);
    }
    const results: BenchmarkResult[] = [];
    const wrong: string[] = [];
    for (const contender of contenders) {
      const resources = await contender.prepare(count);
      const first = sets[0];
      if (first === undefined) continue;
      const problems = contender.name === 'empty' ? [] : await check(run, contender, first, logits);
      if (problems.length > 0) {
        const where = `(${shape.experts}, ${shape.topK}) ${shape.dtype} T = ${count}`;
        wrong.push(`${contender.name} ${where}: ${problems.join('; ')}`);
        continue;
      }
      const timing: Timing = await measureLaunches(driver, stream, measure, (index) => {
        const set = sets[index % sets.length] ?? first;
        contender.enqueue(stream, count, pointersOf(set));
      });
      results.push({
        ...shape,
        tokens: count,
        cache,
        contender: contender.name,
        medianMicroseconds: timing.median,
        p99Microseconds: timing.p99,
        bytesPerSecond: bytes / (timing.median * 1e-6),
        resources,
      });
    }
    return { results, wrong };
  } finally {
    for (const set of sets) for (const buffer of Object.values(set)) (buffer as DeviceBuffer).free();
  }
}

function pointersOf(set: BufferSet): { readonly logits: bigint; readonly weights: bigint; readonly ids: bigint } {
  return { logits: set.logits.pointer, weights: set.weights.pointer, ids: set.ids.pointer };
}

/** Runs a contender once into poisoned outputs and compares rows spread over all T with the reference. */
async function check(run: Run, contender: Contender, set: BufferSet, logits: Logits): Promise<readonly string[]> {
  const { driver, stream, shape, count } = run;
  const { experts, topK } = shape;
  driver.fill(set.weights.pointer, POISON, set.weights.bytes, stream);
  driver.fill(set.ids.pointer, POISON, set.ids.bytes, stream);
  contender.enqueue(stream, count, pointersOf(set));
  const weights = new Float32Array(await downloadBytes(driver, stream, set.weights.pointer, set.weights.bytes));
  const ids = new Int32Array(await downloadBytes(driver, stream, set.ids.pointer, set.ids.bytes));

  const unwritten = ids.findIndex((id) => id < 0 || id >= experts);
  if (unwritten !== -1) return [`slot ${unwritten} holds ${ids[unwritten]}`];
  const rows = Math.min(count, CHECKED_ROWS);
  const picked = {
    logits: logits.slice(0, rows * experts),
    weights: new Float32Array(rows * topK),
    ids: new Int32Array(rows * topK),
  };
  for (let row = 0; row < rows; row += 1) {
    const from = rows === 1 ? 0 : Math.floor((row * (count - 1)) / (rows - 1));
    picked.logits.set(logits.subarray(from * experts, (from + 1) * experts), row * experts);
    picked.weights.set(weights.subarray(from * topK, (from + 1) * topK), row * topK);
    picked.ids.set(ids.subarray(from * topK, (from + 1) * topK), row * topK);
  }
  const config = configOf(shape);
  const args = checkRouteArguments(config, picked.logits);
  const output = { tokens: rows, ids: picked.ids, weights: picked.weights };
  return compareOutput(config, picked.logits, args, output).problems;
}

/** Normal logits, standard deviation 2, in rows that repeat after 4096 at most: enough to keep branches unpredictable. */
function randomLogits({ experts, dtype }: BenchmarkShape, tokens: number): Logits {
  const random = seededRandom(`benchmark ${experts} ${dtype} ${tokens}`);
  const distinct = Math.min(tokens, 4096);
  const values = new Float32Array(distinct * experts);
  for (let i = 0; i < values.length; i += 1) values[i] = 2 * normal(random);
  const block = encodeLogits(values, dtype);
  if (distinct === tokens) return block;
  const bytes = new ArrayBuffer(tokens * experts * logitBytes(dtype));
  const all = dtype === 'f32' ? new Float32Array(bytes) : new Uint16Array(bytes);
  for (let at = 0; at < all.length; at += block.length) all.set(block.subarray(0, all.length - at), at);
  return all;
}
