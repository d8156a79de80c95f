/** `router-kernel bench`: the HIP router and the baselines, or the WebGPU router and its rivals, timed on a GPU. */

import { readFileSync, writeFileSync } from 'node:fs';
import { openGpuDriver } from '@switchyard/gpu';
import { benchmarkJson, benchmarkTable, isBenchmarkReport } from '@switchyard/gpu/benchmark';
import type { BenchmarkReport } from '@switchyard/gpu/benchmark';
import { CONTENDERS } from '../benchmark/hip/contender.ts';
import type { ContenderName } from '../benchmark/hip/contender.ts';
import { hipFiguresOf } from '../benchmark/hip/figures.ts';
import type { MeasureOptions } from '../benchmark/hip/launch-timer.ts';
import { benchmarkPlot } from '../benchmark/hip/plot.ts';
import { GATE_BENCHMARK_SHAPES, runGateBenchmark } from '../benchmark/hip/gate-benchmark.ts';
import { BENCHMARK_SHAPES, PLAN_BENCHMARK_SHAPES, runHipBenchmark } from '../benchmark/hip/run-hip-benchmark.ts';
import { benchmarkTables } from '../benchmark/hip/tables.ts';
import { defineCommand, integerOf, UsageError } from './command.ts';
import type { CliIo, ValuesOf } from './command.ts';

const OPTIONS = {
  backend: { type: 'string', choices: ['hip', 'webgpu'], default: 'hip', description: 'What to time.' },
  software: { type: 'boolean', description: 'With --backend webgpu: run on SwiftShader, a software Vulkan driver.' },
  device: {
    type: 'string',
    placeholder: 'GPU',
    description: 'With --backend hip: 1, amd:0, gfx942, a part of a name; see router-kernel devices.',
  },
  shapes: {
    type: 'string',
    choices: ['all', 'first', 'plan', 'gate'],
    default: 'all',
    description:
      'All shapes, (128, 4) bf16, or with --backend hip the four that dispatch plans are compared on, or the gate projection with the router.',
  },
  tokens: { type: 'string', placeholder: 'T,T,...', description: 'Numbers of tokens; 1 to 65536 by default.' },
  contenders: {
    type: 'string',
    placeholder: 'NAME,NAME,...',
    description: `With --backend hip: of ${CONTENDERS.join(', ')}; all by default.`,
  },
  launches: { type: 'string', default: '100', placeholder: 'N', description: 'Launches in a captured graph.' },
  replays: { type: 'string', default: '100', placeholder: 'N', description: 'Timed replays of the graph.' },
  quick: { type: 'boolean', description: 'One shape, few tokens, few repeats: to see that it runs.' },
  from: { type: 'string', placeholder: 'FILE', description: "Time nothing: show an earlier run's JSON." },
  out: { type: 'string', placeholder: 'FILE', description: 'Write the results as JSON.' },
  plot: { type: 'string', placeholder: 'FILE', description: 'Write (128, 4) bf16 as an SVG plot.' },
  commit: { type: 'string', placeholder: 'HASH', description: 'The commit to record; asked of git by default.' },
  json: { type: 'boolean', description: 'Print the JSON instead of tables.' },
} as const;

type BenchValues = ValuesOf<typeof OPTIONS>;

/** What --quick measures. */
const QUICK = {
  tokens: [1, 64],
  gateTokens: [1],
  measure: { launches: 10, replays: 20 },
  copyBytes: 64 * 1024 ** 2,
} as const;

export const benchCommand = defineCommand({
  summary:
    'Time the HIP router beside kernels after the published ones, or the WebGPU router beside HIP and ONNX Runtime.',
  options: OPTIONS,
  run: async (values, io) => {
    if (values.software && values.backend !== 'webgpu') {
      throw new UsageError('--software needs --backend webgpu · found --backend hip · leave one of them out');
    }
    if ((values.shapes === 'gate' || values.shapes === 'plan') && values.backend !== 'hip') {
      const found = `--shapes ${values.shapes} needs --backend hip · found --backend webgpu`;
      throw new UsageError(`${found} · leave one of them out`);
    }
    if (values.from !== undefined) return show(readStored(values.from), values, io);
    const report = await time(values, io);
    if (values.out !== undefined) writeFileSync(values.out, benchmarkJson(report));
    return show(report, values, io);
  },
});

function time(values: BenchValues, io: CliIo): Promise<BenchmarkReport> {
  if (values.backend === 'webgpu') return timeWebGpu(values, io);
  return values.shapes === 'gate' ? timeGate(values, io) : timeHip(values, io);
}

/** @throws UsageError */
function measureOf({ quick, launches, replays }: BenchValues): MeasureOptions {
  if (quick) return QUICK.measure;
  return { launches: integerOf('launches', launches, 1), replays: integerOf('replays', replays, 1) };
}

function timeGate(values: BenchValues, io: CliIo): Promise<BenchmarkReport> {
  const { quick } = values;
  const tokens = tokensOf(values) ?? (quick ? QUICK.gateTokens : undefined);
  return withDriver(values.device, (driver) =>
    runGateBenchmark(driver, {
      measure: measureOf(values),
      ...(quick && { shapes: GATE_BENCHMARK_SHAPES.slice(0, 1) }),
      ...(tokens && { tokens }),
      commit: values.commit,
      signal: io.signal,
    }),
  );
}

function timeHip(values: BenchValues, io: CliIo): Promise<BenchmarkReport> {
  const { quick } = values;
  const tokens = tokensOf(values) ?? (quick ? QUICK.tokens : undefined);
  const contenders = contendersOf(values);
  const isFirst = quick || values.shapes === 'first';
  return withDriver(values.device, (driver) =>
    runHipBenchmark(driver, {
      measure: measureOf(values),
      ...(values.shapes === 'plan' && { shapes: PLAN_BENCHMARK_SHAPES }),
      ...(isFirst && { shapes: BENCHMARK_SHAPES.slice(0, 1) }),
      ...(tokens && { tokens }),
      contenders,
      ...(quick && { copyBytes: QUICK.copyBytes }),
      commit: values.commit,
      signal: io.signal,
    }),
  );
}

async function withDriver<Result>(
  device: string | undefined,
  use: (driver: ReturnType<typeof openGpuDriver>) => Promise<Result>,
): Promise<Result> {
  using driver = openGpuDriver(device === undefined ? {} : { device });
  return await use(driver);
}

/** Times the WebGPU router; device, launches, replays and plot say nothing to it. */
async function timeWebGpu(values: BenchValues, io: CliIo): Promise<BenchmarkReport> {
  const { runWebGpuBenchmark, WEBGPU_SERIES } = await import('../benchmark/webgpu/run-webgpu-benchmark.ts');
  const { software, quick } = values;
  const tokens = tokensOf(values) ?? (quick ? QUICK.tokens : undefined);
  return runWebGpuBenchmark({
    ...((quick || values.shapes === 'first') && { series: WEBGPU_SERIES.slice(0, 1) }),
    ...(tokens && { tokens }),
    software,
    quick,
    commit: values.commit,
    signal: io.signal,
    onLine: (line) => io.err(`${line}\n`),
  });
}

/** @throws UsageError */
function readStored(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new UsageError(
      `--from must name a JSON file · found '${file}': ${String(cause)} · give one that --out wrote`,
      { cause },
    );
  }
}

/** Prints a report and draws its plot. Exit code 1 where an answer was wrong. */
function show(stored: unknown, values: BenchValues, io: CliIo): number {
  const isOfHip = !isBenchmarkReport(stored) || stored.series.some(({ name }) => name === 'launch');
  if (isOfHip) {
    const figures = hipFiguresOf(stored);
    if (values.plot !== undefined) writeFileSync(values.plot, benchmarkPlot(figures));
    io.out(values.json ? `${JSON.stringify(stored, null, 1)}\n` : benchmarkTables(figures));
    return figures.wrong.length === 0 ? 0 : 1;
  }
  if (values.plot !== undefined)
    throw new UsageError('--plot draws launches · found a report without them · give one of --backend hip');
  io.out(values.json ? benchmarkJson(stored) : benchmarkTable(stored));
  return stored.failures.length === 0 ? 0 : 1;
}

/** @throws UsageError */
function tokensOf({ tokens }: BenchValues): readonly number[] | undefined {
  return tokens?.split(',').map((count) => integerOf('tokens', count, 1));
}

/** @throws UsageError */
function contendersOf({ contenders }: BenchValues): readonly ContenderName[] | undefined {
  return contenders?.split(',').map((name) => {
    const known = CONTENDERS.find((one) => one === name);
    if (known === undefined) {
      throw new UsageError(
        `--contenders must be of ${CONTENDERS.join(', ')} · found '${name}' · choose some, or leave it out`,
      );
    }
    return known;
  });
}
