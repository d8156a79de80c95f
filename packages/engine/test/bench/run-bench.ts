import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { BenchmarkReport } from '@switchyard/gpu/benchmark';
import { formProblems } from '../../../gpu/test/benchmark/report-form.ts';

const PACKAGE = fileURLToPath(new URL('../..', import.meta.url));

/** Runs a file of bench/ with --json. Its report has to have the documented form and no wrong answer. */
export async function runBench(file: string, ...args: readonly string[]): Promise<BenchmarkReport> {
  const words = ['--import=tsx/esm', `bench/${file}`, ...args, '--json'];
  const { stdout } = await promisify(execFile)(process.execPath, words, { cwd: PACKAGE });
  const report: unknown = JSON.parse(stdout);
  assert.deepEqual(formProblems(report), []);
  const found = report as BenchmarkReport;
  assert.deepEqual(found.failures, []);
  return found;
}

/** The names of a report's series, each once. */
export function namesOf({ series }: BenchmarkReport): ReadonlySet<string> {
  return new Set(series.map(({ name }) => name));
}
