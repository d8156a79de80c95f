/** `switchyard verify`. */

import { RUNNER_NAMES } from '../runners/runner-choice.ts';
import type { RouterReport } from '../verify/router-report.ts';
import type { SoakReport } from '../verify/soak.ts';
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
    soakSteps: values.number('soak') ?? 0,
    logger: { warn: (message) => void terminal.error.write(`${message}\n`) },
    onCase: ({ name, problem }) => say(problem === null ? `right  ${name}` : `WRONG  ${name} · ${problem}`),
    onSpeed: (what, { sequences, context, tokensPerSecond, medianMs }) =>
      say(
        `${what}: ${sequences} sequences at ${context} tokens: ${tokensPerSecond.toFixed(1)} tokens/s, ${medianMs.toFixed(3)} ms a step`,
      ),
  });
  if (json) terminal.output.write(`${JSON.stringify(report)}\n`);
  const suites = [report.suite, report.rounded, report.shape].filter((suite) => suite !== null);
  const cases = suites.reduce((sum, suite) => sum + suite.cases, 0);
  const failures = suites.flatMap((suite) => suite.failures);
  if (report.router !== null) sayRouter(report.router, say);
  if (report.soak !== null) saySoak(report.soak, say);
  const rest = report.soak?.passed === false ? ', and the soak failed' : '';
  const ofRouter = (report.router?.failures.length ?? 0) > 0 ? ", and the router's" : '';
  const found = `${failures.length} of ${cases} cases wrong on ${report.runner} (${report.device})${ofRouter}${rest}`;
  if (!report.passed) throw new VerificationFailedError(found);
  say(`passed: ${found}`);
}

function sayRouter({ cases, failures, timing }: RouterReport, say: (line: string) => void): void {
  for (const { name, problems } of failures) say(`WRONG  router: ${name} · ${problems.join('; ')}`);
  if (failures.length === 0) say(`right  router: ${cases} configurations of the published shapes`);
  for (const { experts, topK, tokens, microseconds } of timing) {
    say(`router: ${topK} of ${experts} experts for ${tokens} tokens: ${microseconds.toFixed(2)} µs a launch`);
  }
}

function saySoak(report: SoakReport, say: (line: string) => void): void {
  const { steps, answers, wrongAnswers, deviceGrowthBytes, residentGrowthBytes, passed } = report;
  const device = deviceGrowthBytes === null ? '' : `, device memory by ${deviceGrowthBytes} bytes`;
  say(
    `${passed ? 'right' : 'WRONG'}  soak: ${wrongAnswers} of ${answers} answers wrong in ${steps} steps; resident memory grew by ${residentGrowthBytes} bytes${device}`,
  );
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
