/** Runs the suite for gated routers on any of them. */

import { BackendUnavailableError, InvalidArgumentError, RouterError } from '../errors.ts';
import type { GatedRouter, GatedRouterConfig, GatedRouterOutput, HiddenStates } from '../gate/gate-contract.ts';
import { checkGatedRouteArguments, resolveGatedRouterConfig } from '../gate/resolve-gate.ts';
import { knownOptions, refuseUnknownOptions } from '../known-options.ts';
import { compareGatedOutput, periodProblems, prefixProblems } from './compare-gate.ts';
import type { GateComparison } from './compare-gate.ts';
import type { SuiteLevel } from './contract-cases.ts';
import { gateCases } from './gate-cases.ts';
import type { GateCall, GateCase } from './gate-cases.ts';
import type { ContractSuiteResult } from './run-contract-suite.ts';

/** Makes the gated router under test. */
export type GatedRouterFactory = (config: GatedRouterConfig) => Promise<GatedRouter>;

/** How a suite runs. */
export interface GateSuiteOptions {
  /** Defaults to `'quick'`. */
  readonly level?: SuiteLevel;
  /** The cases to run instead of all of the level's. */
  readonly cases?: readonly GateCase[];
  /** Stops the suite between calls: it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

const SUITE_OPTIONS = knownOptions<GateSuiteOptions>('suite option', InvalidArgumentError, {
  level: true,
  cases: true,
  signal: true,
});

/** What a suite found. It passed where `failures` is empty. */
export interface GateSuiteResult extends ContractSuiteResult {
  /** Logits that lie further from the exact ones than their rounding. */
  readonly mismatchedLogits: number;
  /** The largest error of a logit as a share of its rounding: 1 is the limit. */
  readonly worstLogitError: number;
}

/**
 * Compares a gated router with the reference in every case of a level: logits within their rounding, ids, weights and
 * plan as the contract has them for these logits, experts of equal weights with equal logits, rows that do not depend on
 * their number, the input unmodified. A failing case does not end the run.
 *
 * @throws BackendUnavailableError where the factory does: then nothing can be said of the backend
 */
export async function runGateSuite(
  createRouter: GatedRouterFactory,
  options: GateSuiteOptions = {},
): Promise<GateSuiteResult> {
  refuseUnknownOptions(SUITE_OPTIONS, options);
  const cases = options.cases ?? gateCases(options.level ?? 'quick');
  const totals: Totals = {
    calls: 0,
    rows: 0,
    mismatchedLogits: 0,
    mismatchedIds: 0,
    mismatchedWeights: 0,
    worstLogitError: 0,
    worstWeightError: 0,
  };
  const failures: ContractSuiteResult['failures'][number][] = [];
  for (const gateCase of cases) {
    let problems: readonly string[];
    try {
      problems = await runCase(createRouter, gateCase, totals, options.signal);
    } catch (error) {
      if (options.signal?.aborted === true || error instanceof BackendUnavailableError) throw error;
      problems = [`it threw ${error instanceof RouterError ? `${error.code}: ${error.message}` : String(error)}`];
    }
    if (problems.length > 0) failures.push({ section: gateCase.section, name: gateCase.name, problems });
  }
  return { cases: cases.length, ...totals, failures };
}

/** What all calls come to. */
type Totals = { -readonly [Name in Exclude<keyof GateSuiteResult, 'cases' | 'failures'>]: GateSuiteResult[Name] };

function addTo(totals: Totals, comparison: GateComparison): void {
  totals.calls++;
  totals.rows += comparison.rows;
  totals.mismatchedLogits += comparison.mismatchedLogits;
  totals.mismatchedIds += comparison.mismatchedIds;
  totals.mismatchedWeights += comparison.mismatchedWeights;
  totals.worstLogitError = Math.max(totals.worstLogitError, comparison.worstLogitError);
  totals.worstWeightError = Math.max(totals.worstWeightError, comparison.worstWeightError);
}

/** What is wrong in a case, in words. */
async function runCase(
  createRouter: GatedRouterFactory,
  gateCase: GateCase,
  totals: Totals,
  signal: AbortSignal | undefined,
): Promise<readonly string[]> {
  signal?.throwIfAborted();
  await using router = await createRouter(gateCase.config);
  const problems: string[] = [];
  for (const call of gateCase.calls) {
    signal?.throwIfAborted();
    const { comparison, output } = await runCall(router, gateCase, call);
    addTo(totals, comparison);
    const own = [...comparison.problems, ...periodProblems(output, gateCase.config.experts, gateCase.period)];
    problems.push(...own.map((problem) => `${call.name}: ${problem}`));
  }
  return [...problems, ...(await numberProblems(router, gateCase))];
}

async function runCall(
  router: GatedRouter,
  { config }: GateCase,
  call: GateCall,
): Promise<{ readonly comparison: GateComparison; readonly output: GatedRouterOutput }> {
  const resolved = resolveGatedRouterConfig(config);
  const { hidden, options } = call.makeInput();
  const before = hidden.slice();
  const output = await router.route(hidden, options);
  const args = checkGatedRouteArguments(resolved, before, options);
  const comparison = compareGatedOutput(resolved, before, args, output);
  if (areSameBytes(hidden, before)) return { comparison, output };
  return { comparison: { ...comparison, problems: [...comparison.problems, 'the input was modified'] }, output };
}

/** The first rows of the first call again, in calls of other numbers of tokens, and each row by itself. */
async function numberProblems(router: GatedRouter, { calls, prefixes, config }: GateCase): Promise<string[]> {
  const input = calls[0]?.makeInput();
  if (input === undefined || prefixes.length === 0) return [];
  const { hiddenSize } = config;
  const whole = await router.route(input.hidden);
  const problems: string[] = [];
  for (const tokens of prefixes) {
    const prefix = await router.route(input.hidden.slice(0, tokens * hiddenSize));
    problems.push(...prefixProblems(whole, prefix));
  }
  const last = whole.tokens - 1;
  const alone = await router.route(input.hidden.slice(last * hiddenSize));
  const { experts, topK } = config;
  const lastOfWhole = {
    ...whole,
    routerLogits: whole.routerLogits.slice(last * experts),
    ids: whole.ids.slice(last * topK),
    weights: whole.weights.slice(last * topK),
  };
  return [...problems, ...prefixProblems(lastOfWhole, alone)];
}

function areSameBytes(left: HiddenStates, right: HiddenStates): boolean {
  const bytes = new Uint8Array(left.buffer, left.byteOffset, left.byteLength);
  const others = new Uint8Array(right.buffer, right.byteOffset, right.byteLength);
  return bytes.every((byte, i) => byte === others[i]);
}
