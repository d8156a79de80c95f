/**
 * The hook through which a grammar, or anything else, says which tokens may come next.
 */

import type { TokenMask } from '../sampling/token-mask.ts';

/** Follows one answer token by token. Lives in the worker, beside the sampler. */
export interface TokenConstraint extends Disposable {
  /** Settles when `mask` knows of every accepted token: grammars compile in the background. */
  readonly ready: Promise<void>;
  /** The tokens that may come next, at least one; null for all. The scheduler reads it before the next call. */
  mask(): TokenMask | null;
  /** Called with every token that was chosen. */
  accept(token: number): void;
}
