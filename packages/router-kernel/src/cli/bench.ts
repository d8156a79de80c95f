/** `router-kernel bench`: the HIP router and the baselines, or the WebGPU router and its rivals, timed on a GPU. */

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { openGpuDriver } from '@switchyard/gpu';
import { benchmarkPlot } from '../hip/benchmark/plot.ts';
import { benchmarkTables } from '../hip/benchmark/report.ts';
import { BENCHMARK_SHAPES, BENCHMARK_TOKENS, runBenchmark } from '../hip/benchmark/run-benchmark.ts';
import { defineCommand, integerOf, UsageError } from './command.ts';
import type { CliIo } from './command.ts';

export const benchCommand = defineCommand({
  summary:
    'Time the HIP router beside kernels after the published ones, or the WebGPU router beside HIP and ONNX Runtime.',
  options: {
    backend: { type: 'string', choices: ['hip', 'webgpu'], default: 'hip', description: 'What to time.' },
    software: { type: 'boolean', description: 'With --backend webgpu: run on SwiftShader, a software Vulkan driver.' },
    device: {
      type: 'string',
      placeholder: 'GPU',
      description: 'With --backend hip: 1, amd:0, gfx942, a part of a name; see router-kernel devices.',
    },
    shapes: { type: 'string', choices: ['all', 'first'], default: 'all', description: 'All shapes or (128, 4) bf16.' },
    tokens: { type: 'string', placeholder: 'T,T,...', description: 'Numbers of tokens; 1 to 65536 by default.' },
    launches: { type: 'string', default: '100', placeholder: 'N', description: 'Launches in a captured graph.' },
    replays: { type: 'string', default: '100', placeholder: 'N', description: 'Timed replays of the graph.' },
    out: { type: 'string', placeholder: 'FILE', description: 'Write the results as JSON.' },
    plot: { type: 'string', placeholder: 'FILE', description: 'Write (128, 4) bf16 as an SVG plot.' },
    commit: { type: 'string', placeholder: 'HASH', description: 'The commit to record; asked of git by default.' },
    json: { type: 'boolean', description: 'Print the JSON instead of tables.' },
  },
  run: async (values, io) => {
    if (values.backend === 'webgpu') return benchWebGpu(values, io);
    if (values.software) throw new UsageError('--software needs --backend webgpu; found --backend hip.');
    const launches = integerOf('launches', values.launches, 1);
    const replays = integerOf('replays', values.replays, 1);
    const tokens = tokensOf(values.tokens) ?? BENCHMARK_TOKENS;
    using driver = openGpuDriver(values.device === undefined ? {} : { device: values.device });
    const report = await runBenchmark(driver, {
      shapes: values.shapes === 'first' ? BENCHMARK_SHAPES.slice(0, 1) : BENCHMARK_SHAPES,
      tokens,
      measure: { launches, replays },
      signal: io.signal,
    });
    const commit = values.commit ?? currentCommit();
    const json = `${JSON.stringify({ date: new Date().toISOString(), commit, ...report }, null, 1)}\n`;
    if (values.out !== undefined) writeFileSync(values.out, json);
    if (values.plot !== undefined) writeFileSync(values.plot, benchmarkPlot(report));
    io.out(values.json ? json : benchmarkTables(report));
    return report.wrong.length === 0 ? 0 : 1;
  },
});

/** Times the WebGPU router; device, launches, replays and plot say nothing to it. */
async function benchWebGpu(
  values: {
    readonly shapes: string;
    readonly tokens: string | undefined;
    readonly software: boolean;
    readonly out: string | undefined;
    readonly commit: string | undefined;
    readonly json: boolean;
  },
  io: CliIo,
): Promise<number> {
  const { runWebGpuBench, WEBGPU_BENCH_SERIES } = await import('./bench-webgpu.ts');
  const { software, json } = values;
  const tokens = tokensOf(values.tokens);
  const reports = [];
  for (const series of values.shapes === 'first' ? WEBGPU_BENCH_SERIES.slice(0, 1) : WEBGPU_BENCH_SERIES) {
    io.signal.throwIfAborted();
    const onLine = (line: string): void => (json ? undefined : io.out(`${line}\n`));
    reports.push(await runWebGpuBench({ ...series, ...(tokens && { tokens }), software, onLine }));
  }
  const commit = values.commit ?? currentCommit();
  const text = `${JSON.stringify({ date: new Date().toISOString(), commit, node: process.version, reports }, null, 1)}\n`;
  if (values.out !== undefined) writeFileSync(values.out, text);
  if (json) io.out(text);
  return 0;
}

/** @throws UsageError */
function tokensOf(text: string | undefined): readonly number[] | undefined {
  return text?.split(',').map((count) => integerOf('tokens', count, 1));
}

/** null outside a git checkout. */
function currentCommit(): string | null {
  try {
    const args = ['rev-parse', 'HEAD'];
    return execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return null;
  }
}
