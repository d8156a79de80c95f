/** `router-kernel bench`: the HIP router and the baselines, timed on a GPU. */

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { benchmarkPlot } from '../hip/benchmark/plot.ts';
import { benchmarkTables } from '../hip/benchmark/report.ts';
import { BENCHMARK_SHAPES, BENCHMARK_TOKENS, runBenchmark } from '../hip/benchmark/run-benchmark.ts';
import { openGpuDriver } from '../hip/driver/open-driver.ts';
import { defineCommand, integerOf, UsageError } from './command.ts';

export const benchCommand = defineCommand({
  summary: 'Time the HIP router, kernels after the published ones, and an empty kernel on a GPU.',
  options: {
    device: { type: 'string', default: '0', placeholder: 'INDEX', description: 'The GPU.' },
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
    const device = integerOf('device', values.device, 0);
    const launches = integerOf('launches', values.launches, 1);
    const replays = integerOf('replays', values.replays, 1);
    const tokens = values.tokens?.split(',').map((text) => integerOf('tokens', text, 1)) ?? BENCHMARK_TOKENS;
    if (tokens.length === 0) throw new UsageError('--tokens names no number of tokens.');
    using driver = openGpuDriver({ device });
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

/** null outside a git checkout. */
function currentCommit(): string | null {
  try {
    const args = ['rev-parse', 'HEAD'];
    return execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return null;
  }
}
