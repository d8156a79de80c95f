/** Runs the contract suite on any router. */

import { checkRouteArguments, resolveRouterConfig } from '../resolve-config.ts';
import type { Logits, Router, RouterConfig } from '../contract.ts';
import { BackendUnavailableError, InvalidArgumentError, RouterError } from '../errors.ts';
import { knownOptions, refuseUnknownOptions } from '../known-options.ts';
import { compareOutput } from './compare-output.ts';
import { contractCases } from './contract-cases.ts';
import type { ContractCall, ContractCase, SuiteLevel } from './contract-cases.ts';

/** Makes the router under test. */
export type RouterFactory = (config: RouterConfig) => Promise<Router>;

/** How a suite runs. */
export interface ContractSuiteOptions {
  /** Defaults to `'quick'`. */
  readonly level?: SuiteLevel;
  /** The cases to run instead of all of the level's. */
  readonly cases?: readonly ContractCase[];
  /** Called after each case, with the problems found in it. */
  readonly onCase?: (done: {
    readonly index: number;
    readonly of: number;
    readonly case: ContractCase;
    readonly problems: readonly string[];
  }) => void;
  /** Stops the suite between calls: it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

const SUITE_OPTIONS = knownOptions<ContractSuiteOptions>('suite option', InvalidArgumentError, {
  level: true,
  cases: true,
  onCase: true,
  signal: true,
});

/** One case that went wrong. */
export interface ContractFailure {
  readonly section: string;
  /** The configuration, in words. */
  readonly name: string;
  readonly problems: readonly string[];
}

/** What a suite found. It passed where `failures` is empty. */
export interface ContractSuiteResult {
  /** Configurations tried. */
  readonly cases: number;
  /** Calls of `route` compared. */
  readonly calls: number;
  /** Rows compared. */
  readonly rows: number;
  /** Slots whose id the contract does not allow. */
  readonly mismatchedIds: number;
  /** Slots whose weight is out of tolerance. */
  readonly mismatchedWeights: number;
  /** The largest weight error as a share of its tolerance: 1 is the limit. */
  readonly worstWeightError: number;
  readonly failures: readonly ContractFailure[];
}

/**
 * Compares a router with the reference in every case of a level. Ids must be exactly the reference's (with a bias or
 * groups: one that f32 rounding explains), weights within 2e-6 or 2e-5 of it, the rest exact, the input unmodified.
 * A failing case does not end the run.
 *
 * @throws BackendUnavailableError where the factory does: then nothing can be said of the backend
 */
export async function runContractSuite(
  createRouter: RouterFactory,
  options: ContractSuiteOptions = {},
): Promise<ContractSuiteResult> {
  refuseUnknownOptions(SUITE_OPTIONS, options);
  const cases = options.cases ?? contractCases(options.level ?? 'quick');
  const total = { calls: 0, rows: 0, mismatchedIds: 0, mismatchedWeights: 0, worstWeightError: 0 };
  const failures: ContractFailure[] = [];
  for (const [index, contractCase] of cases.entries()) {
    options.signal?.throwIfAborted();
    const problems: string[] = [];
    try {
      const router = await createRouter(contractCase.config);
      try {
        for (const call of contractCase.calls) {
          await letOthersRun();
          options.signal?.throwIfAborted();
          const compared = await runCall(router, contractCase.config, call);
          total.calls++;
          total.rows += compared.rows;
          total.mismatchedIds += compared.mismatchedIds;
          total.mismatchedWeights += compared.mismatchedWeights;
          total.worstWeightError = Math.max(total.worstWeightError, compared.worstWeightError);
          problems.push(...compared.problems.map((problem) => `${call.name}: ${problem}`));
        }
        if (index === 0) problems.push(...(await inFlightProblems(router, contractCase)));
      } finally {
        await router.dispose();
      }
      if (index === 0) problems.push(...(await disposedProblems(router, contractCase)));
    } catch (error) {
      if (options.signal?.aborted === true || error instanceof BackendUnavailableError) throw error;
      problems.push(`it threw ${describeError(error)}`);
    }
    if (problems.length > 0) failures.push({ section: contractCase.section, name: contractCase.name, problems });
    options.onCase?.({ index, of: cases.length, case: contractCase, problems });
  }
  return { cases: cases.length, ...total, failures };
}

/** A router that works on this thread never waits, and nobody could stop the suite. */
function letOthersRun(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, 0);
  });
}

async function runCall(
  router: Router,
  config: RouterConfig,
  call: ContractCall,
): Promise<ReturnType<typeof compareOutput>> {
  const resolved = resolveRouterConfig(config);
  const { logits, options } = call.makeInput();
  const before = logits.slice();
  const output = await router.route(logits, options);
  const compared = compareOutput(resolved, before, checkRouteArguments(resolved, before, options), output);
  if (isSameInput(logits, before)) return compared;
  return { ...compared, problems: [...compared.problems, 'the input was modified'] };
}

/** Bit by bit, since a NaN is not equal to itself. */
function isSameInput(logits: Logits, before: Logits): boolean {
  const left = new Uint8Array(logits.buffer, logits.byteOffset, logits.byteLength);
  const right = new Uint8Array(before.buffer, before.byteOffset, before.byteLength);
  return left.every((byte, i) => byte === right[i]);
}

/** Calls that are in flight together must not disturb each other. */
async function inFlightProblems(router: Router, contractCase: ContractCase): Promise<string[]> {
  const resolved = resolveRouterConfig(contractCase.config);
  const inputs = contractCase.calls.map((call) => call.makeInput());
  const outputs = await Promise.all(inputs.map(({ logits, options }) => router.route(logits, options)));
  return outputs.flatMap((output, i) => {
    const input = inputs[i];
    if (input === undefined) return [];
    const call = checkRouteArguments(resolved, input.logits, input.options);
    const { problems } = compareOutput(resolved, input.logits, call, output);
    return problems.map((problem) => `calls in flight together: ${problem}`);
  });
}

/** A disposed router may be disposed of again, and refuses to route. */
async function disposedProblems(router: Router, contractCase: ContractCase): Promise<string[]> {
  await router.dispose();
  const call = contractCase.calls[0];
  if (call === undefined) return [];
  const { logits, options } = call.makeInput();
  try {
    await router.route(logits, options);
  } catch (error) {
    if (error instanceof RouterError && error.code === 'DISPOSED') return [];
    return [`after dispose() route threw ${String(error)} where DisposedError is due`];
  }
  return ['after dispose() route answered where DisposedError is due'];
}

function describeError(error: unknown): string {
  if (error instanceof RouterError) return `${error.name} ${error.code}: ${error.message}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
