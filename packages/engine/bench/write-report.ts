/** The end of every benchmark of this folder. */

import { writeFile } from 'node:fs/promises';
import { type Benchmark, benchmarkJson, benchmarkTable } from '@switchyard/gpu/benchmark';

/** Prints and stores a report. Returns the exit code: 1 where an answer was wrong. */
export async function writeReport(
  benchmark: Benchmark,
  options: { readonly json: boolean; readonly out?: string | undefined },
): Promise<number> {
  const report = benchmark.finish();
  if (options.out !== undefined) await writeFile(options.out, benchmarkJson(report));
  process.stdout.write(options.json ? benchmarkJson(report) : benchmarkTable(report));
  return report.failures.length === 0 ? 0 : 1;
}
