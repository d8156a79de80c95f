/**
 * From a job's constraint specification to the constraint itself.
 *
 * @module
 */
import { type HarmonyTokens, harmonyTokens, type Snapshot } from '@switchyard/models';
import type { TokenConstraint } from '../constraint/token-constraint.ts';
import { AnswerConstraint, type AnswerConstraintSpec, enforcedSchemas } from '../constraint/answer-constraint.ts';
import { GrammarThread } from '../constraint/grammar/grammar-thread.ts';

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
    for (const [field, schema] of enforcedSchemas(specification as AnswerConstraintSpec)) {
      if (!isWanted()) return;
      await this.#grammars.compile(field, schema);
    }
  }

  /** The constraint of a prepared specification; null for null. */
  create(specification: unknown): TokenConstraint | null {
    if (specification === null) return null;
    const { tokenizer } = this.#snapshot;
    this.#control ??= harmonyTokens(tokenizer);
    const spec = specification as AnswerConstraintSpec;
    return new AnswerConstraint(spec, tokenizer, this.#control, this.#vocabularySize, this.#grammars);
  }

  [Symbol.dispose](): void {
    this.#grammars[Symbol.dispose]();
  }
}
