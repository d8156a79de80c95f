/** The suite that every runner has to pass: `@switchyard/engine/runner-suite`. */

export {
  runnerCases,
  runRunnerCase,
  runRunnerSuite,
  type RunnerFailure,
  type RunnerSuiteResult,
} from './run-runner-suite.ts';
export { companyCases } from './company-cases.ts';
export { goldenAnswerCases, pieceCases, sideBySideCase } from './golden-cases.ts';
export { samplerCases } from './sampler-cases.ts';
export type { GoldenPrompt, RunnerCase, RunnerFactory, RunnerSuiteOptions, RunnerTolerances } from './suite-run.ts';
export { SuiteRun } from './suite-run.ts';
