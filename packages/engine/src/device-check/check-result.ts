/** What a check finds. All of it survives JSON. */

export const FAILURE_KINDS = ['wrong', 'hung', 'ended', 'uncompiled'] as const;

/** Why a device is not to be trusted. */
export interface CheckFailure {
  /**
   * Other answers than the right ones, work that does not end, a process that ended in the middle of it, or kernels that its
   * compiler does not take.
   */
  readonly kind: (typeof FAILURE_KINDS)[number];
  readonly found: string;
}

/** What one check found. It passed where `failure` is null. */
export interface CheckResult {
  /** Cases tried. */
  readonly cases: number;
  readonly milliseconds: number;
  readonly failure: CheckFailure | null;
}

/** The embedded model's golden steps, or the kernels of the shape that is to be loaded. */
export type CheckName = 'golden' | 'shape';

/** Runs cases one after another, the first failure ends it; none begins once the time is up. */
export async function runCases(
  cases: readonly { readonly name: string; readonly run: () => Promise<void> }[],
  { budgetMs = Number.POSITIVE_INFINITY }: { readonly budgetMs?: number } = {},
): Promise<CheckResult> {
  const started = performance.now();
  let tried = 0;
  const result = (failure: CheckFailure | null): CheckResult => ({
    cases: tried,
    milliseconds: Math.round(performance.now() - started),
    failure,
  });
  for (const { name, run } of cases) {
    if (tried > 0 && performance.now() - started > budgetMs) break;
    tried++;
    try {
      await run();
    } catch (error) {
      const kind = hasHung(error) ? 'hung' : 'wrong';
      return result({ kind, found: `${name}: ${error instanceof Error ? error.message : String(error)}` });
    }
  }
  return result(null);
}

/** Whether an error, or what it comes from, is that of a device that does not end a step. */
function hasHung(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('code' in cause && cause.code === 'DEVICE_HUNG') return true;
  }
  return false;
}
