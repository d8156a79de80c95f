/** `switchyard verify`. */

import { RUNNER_NAMES } from '../runners/runner-choice.ts';
import { verifyRunner } from '../verify/verify-runner.ts';
import { type OptionValues, UsageError } from './parse-options.ts';
import type { Terminal } from './terminal.ts';

const SHAPES = ['gpt-oss-20b', 'gpt-oss-120b'] as const;
const BATCHES = [1, 4, 16];
const CONTEXT = 1024;

/** Throws VerificationFailedError where the runner is wrong. */
export async function verifyCommand(values: OptionValues, terminal: Terminal): Promise<void> {
  const runner = values.choice('runner', RUNNER_NAMES);
  if (runner === undefined) throw new UsageError('--runner is missing · found none · name the one to verify');
  const shape = values.choice('shape', SHAPES);
  if (shape !== undefined && runner !== 'hip') {
    throw new UsageError(`--shape needs --runner hip · found --runner ${runner} · only it makes weights of its own`);
  }
  const json = values.flag('json');
  const say = (line: string): void => void (json ? terminal.error : terminal.output).write(`${line}\n`);
  const report = await verifyRunner({
    runner,
    device: values.text('device'),
    shape,
    batches: BATCHES,
    context: values.number('context') ?? CONTEXT,
    onCase: ({ name, problem }) => say(problem === null ? `right  ${name}` : `WRONG  ${name} · ${problem}`),
    onSpeed: (what, { sequences, context, tokensPerSecond, medianMs }) =>
      say(
        `${what}: ${sequences} sequences at ${context} tokens: ${tokensPerSecond.toFixed(1)} tokens/s, ${medianMs.toFixed(3)} ms a step`,
      ),
  });
  if (json) terminal.output.write(`${JSON.stringify(report)}\n`);
  const cases = report.suite.cases + (report.rounded?.cases ?? 0);
  const failures = [...report.suite.failures, ...(report.rounded?.failures ?? [])];
  const found = `${failures.length} of ${cases} cases wrong on ${report.runner} (${report.device})`;
  if (!report.passed) throw new VerificationFailedError(found);
  say(`passed: ${found}`);
}

/** The runner does not do what it has to. */
class VerificationFailedError extends Error {
  override readonly name = 'VerificationFailedError';
  readonly code = 'VERIFICATION_FAILED';
  constructor(found: string) {
    super(
      `The runner is not right here · found ${found} · use another runner, and report it with the output of --json`,
    );
  }
}
