/** What benchmarks' options name: a runner, a published shape. */

import type { PublishedModel } from '@switchyard/models/testing';
import { RUNNER_NAMES, type RunnerName } from '../src/runners/runner-choice.ts';

/** @throws TypeError for any other name */
export function runnerNamed(name: string): RunnerName {
  const found = RUNNER_NAMES.find((known) => known === name);
  if (found === undefined) throw new TypeError(`--runner is ${name}. Take one of ${RUNNER_NAMES.join(', ')}`);
  return found;
}

/** Undefined where none is named. @throws TypeError for any other name */
export function shapeNamed(name: string | undefined): PublishedModel | undefined {
  if (name === undefined || name === 'gpt-oss-20b' || name === 'gpt-oss-120b') return name;
  throw new TypeError(`--shape is ${name}. Take gpt-oss-20b or gpt-oss-120b`);
}
