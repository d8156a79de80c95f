/**
 * What every runner has to pass: the model's own answers, and that sequences, samplers and steps behave as the border says.
 */

import { reasonOf } from '../../contain.ts';
import { companyCases } from './company-cases.ts';
import { faultCases } from './fault-cases.ts';
import { goldenCases } from './golden-cases.ts';
import type { ModelRunner } from '../runner.ts';
import { overlapCases } from './overlap-cases.ts';
import { samplerCases } from './sampler-cases.ts';
import { sequenceCases } from './sequence-cases.ts';
import type { RunnerCase, RunnerFactory, RunnerSuiteOptions } from './suite-run.ts';
import { SuiteRun } from './suite-run.ts';
import { wantCases } from './want-cases.ts';

/** One case that went wrong. */
export interface RunnerFailure {
  readonly section: string;
  readonly name: string;
  readonly problem: string;
}

/** What a suite found. It passed where `failures` is empty. */
export interface RunnerSuiteResult {
  /** Cases tried. */
  readonly cases: number;
  readonly failures: readonly RunnerFailure[];
}

/** All cases, those first that tell most. */
export function runnerCases(options: RunnerSuiteOptions): readonly RunnerCase[] {
  return [
    ...goldenCases(options.golden),
    ...wantCases,
    ...sequenceCases,
    ...companyCases,
    ...samplerCases,
    ...overlapCases,
    ...faultCases,
  ];
}

/**
 * Runs every case on a runner of its own making. A failing case does not end the run, unless `stopAtFirst` is set.
 *
 * @throws what the factory throws
 */
export async function runRunnerSuite(create: RunnerFactory, options: RunnerSuiteOptions): Promise<RunnerSuiteResult> {
  const cases = options.cases ?? runnerCases(options);
  const failures: RunnerFailure[] = [];
  let tried = 0;
  const runner = await create();
  try {
    for (const [index, { section, name, run }] of cases.entries()) {
      options.signal?.throwIfAborted();
      tried++;
      const problem = await runRunnerCase(runner, { section, name, run }, options);
      if (problem !== null) failures.push({ section, name, problem });
      options.onCase?.({ section, name, problem, index, of: cases.length });
      if (problem !== null && options.stopAtFirst === true) break;
    }
  } finally {
    await runner.dispose();
  }
  return { cases: tried, failures };
}

/** Runs one case on a runner, which stays the caller's. Returns what went wrong; null where nothing did. */
export async function runRunnerCase(
  runner: ModelRunner,
  { run }: RunnerCase,
  options: RunnerSuiteOptions,
): Promise<string | null> {
  const suite = new SuiteRun(runner, options);
  try {
    await run(suite);
    return null;
  } catch (error) {
    return reasonOf(error);
  } finally {
    await suite.release();
  }
}
