/**
 * The embedded model's golden steps: short enough for every first load, and through every form of its kernels.
 */

import { HIP_ENTRY } from '../runners/hip/hip-entry.ts';
import type { Activations } from '../runners/runner-module.ts';
import type { ModelRunner } from '../runners/runner.ts';
import {
  type GoldenPrompt,
  type RunnerCase,
  type RunnerTolerances,
  SuiteRun,
  pieceCases,
  samplerCases,
  sideBySideCase,
} from '../runners/suite/index.ts';
import { type CheckResult, runCases } from './check-result.ts';

/** What f32 has to keep. */
export const EXACT_TOLERANCES: RunnerTolerances = {
  betweenKinds: HIP_ENTRY.betweenKinds,
  logit: 5e-3,
  nll: 1e-4,
  routerWeight: 1e-4,
};
/** What activations in bf16 have to keep of it, and keys and values in 16 bits. */
export const ROUNDED_TOLERANCES: RunnerTolerances = { ...EXACT_TOLERANCES, nll: 1e-3, nearTies: true };

/** Milliseconds after the first case that another begins within, where nobody says how many. */
const BUDGET_MS = 2000;
/** Ways to choose that have every kernel of choosing in them. */
const CHOSEN_BY = ['top-k, top-p and min-p', 'penalties:', 'a mask'];

/** What is run, and with what. */
export interface GoldenStepsOptions {
  readonly golden: readonly GoldenPrompt[];
  /** The model's sliding window, in tokens. */
  readonly window: number;
  /** Shorter steps of a sequence round no activation. */
  readonly roundedFrom: number;
  /** What the runner was made with: it keeps keys and values in 16 bits, unless they are exact. */
  readonly activations: Activations;
  /** No case begins later than this after the first, in milliseconds. Defaults to 2000. */
  readonly budgetMs?: number;
}

/**
 * Runs the steps on a runner of the embedded model, which stays the caller's: all prompts whole and their greedy
 * continuations side by side; tokens chosen on the device against the same chosen here; each prompt in pieces, with the
 * experts of every layer and token. The first failure ends it.
 */
export async function runGoldenSteps(
  runner: ModelRunner,
  { golden, window, roundedFrom, activations, budgetMs = BUDGET_MS }: GoldenStepsOptions,
): Promise<CheckResult> {
  const caseOf = ({ section, name, run }: RunnerCase, tolerances: RunnerTolerances) => ({
    name: `${section}, ${name}`,
    run: async () => {
      const suite = new SuiteRun(runner, { golden, tolerances, window });
      try {
        await run(suite);
      } finally {
        await suite.release();
      }
    },
  });
  const ofPieces = activations === 'exact' ? EXACT_TOLERANCES : ROUNDED_TOLERANCES;
  const cases = [
    caseOf(sideBySideCase(golden), ROUNDED_TOLERANCES),
    ...samplerCases
      .filter(({ name }) => CHOSEN_BY.some((way) => name.startsWith(way)))
      .map((chosen) => caseOf(chosen, EXACT_TOLERANCES)),
    ...pieceCases(golden, roundedFrom - 1).map((each) => caseOf(each, ofPieces)),
  ];
  return runCases(cases, { budgetMs });
}
