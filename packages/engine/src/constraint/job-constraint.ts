import type { AnswerConstraintSpec } from './answer-constraint.ts';
import type { TokenLimits } from './token-limits.ts';

/** All that a job's tokens are held to. Survives a structured clone. */
export interface JobConstraintSpec {
  readonly answer: AnswerConstraintSpec | null;
  readonly tokens: TokenLimits | null;
}
