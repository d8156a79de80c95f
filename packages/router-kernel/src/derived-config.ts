/** What follows from a configuration, said once for every backend. */

import type { IdsDtype, LogitsDtype, ResolvedRouterConfig } from './contract.ts';

/** Bytes of one logit. */
export function logitBytes(dtype: LogitsDtype): number {
  return dtype === 'f32' ? 4 : 2;
}

/** Bytes of one id. */
export function idBytes(dtype: IdsDtype): number {
  return dtype === 'i64' ? 8 : 4;
}

/** Whether experts are ranked by choice score rather than by the logit. */
export function ranksByChoice({ correctionBias, groups }: ResolvedRouterConfig): boolean {
  return correctionBias !== null || groups > 1;
}

/** Whether ids of some experts are dropped. */
export function hasRange({ expertRange, experts }: ResolvedRouterConfig): boolean {
  return expertRange[0] !== 0 || expertRange[1] !== experts;
}
