/**
 * From a job's constraint specification to the constraint itself.
 */

import { type HarmonyTokens, harmonyTokens, type Snapshot } from '@switchyard/models';
import type { TokenConstraint } from '../constraint/token-constraint.ts';
import { AnswerConstraint, enforcedSchemas } from '../constraint/answer-constraint.ts';
import { GrammarThread } from '../constraint/grammar/grammar-thread.ts';
import type { JobConstraintSpec } from '../constraint/job-constraint.ts';
import { LimitedTokens } from '../constraint/token-limits.ts';

/** Makes the constraints of one model's jobs. */
export class ConstraintFactory implements Disposable {
  readonly #snapshot: Snapshot;
  readonly #vocabularySize: number;
  readonly #grammars: GrammarThread;
  #control: HarmonyTokens | null = null;

  /** @param vocabularySize Of the logits. */
  constructor(snapshot: Snapshot, vocabularySize: number) {
    this.#snapshot = snapshot;
    this.#vocabularySize = vocabularySize;
    this.#grammars = new GrammarThread(snapshot.path);
  }

  /**
   * Compiles every schema of a specification, as long as `isWanted`.
   *
   * @throws InvalidRequestError for a schema that cannot be compiled
   */
  async prepare(specification: unknown, isWanted: () => boolean): Promise<void> {
    const { answer } = specification as JobConstraintSpec;
    for (const [field, schema] of answer === null ? [] : enforcedSchemas(answer)) {
      if (!isWanted()) return;
      await this.#grammars.compile(field, schema);
    }
  }

  /** The constraint of a prepared specification; null for null. */
  create(specification: unknown): TokenConstraint | null {
    if (specification === null) return null;
    const { tokenizer } = this.#snapshot;
    this.#control ??= harmonyTokens(tokenizer);
    const { answer, tokens } = specification as JobConstraintSpec;
    const size = this.#vocabularySize;
    const held = answer === null ? null : new AnswerConstraint(answer, tokenizer, this.#control, size, this.#grammars);
    return tokens === null ? held : new LimitedTokens(held, tokens, this.#control, size, tokenizer.vocabularySize);
  }

  [Symbol.dispose](): void {
    this.#grammars[Symbol.dispose]();
  }
}
