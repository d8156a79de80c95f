/**
 * From a job's constraint specification to the constraint itself.
 *
 * @module
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type HarmonyTokens, harmonyTokens, type Snapshot } from '@switchyard/models';
import type { TokenConstraint } from '../constraint.ts';
import { AnswerConstraint, type AnswerConstraintSpec, enforcedSchemas } from '../constraint/answer-constraint.ts';
import type { JsonBody, JsonGrammars } from '../constraint/json-grammar.ts';

/** Makes the constraints of one model's jobs. The grammar library is loaded when the first job needs it. */
export class ConstraintFactory implements Disposable {
  readonly #snapshot: Snapshot;
  readonly #vocabularySize: number;
  #control: HarmonyTokens | null = null;
  #grammars: Promise<JsonGrammars> | null = null;

  /** @param vocabularySize Of the logits. */
  constructor(snapshot: Snapshot, vocabularySize: number) {
    this.#snapshot = snapshot;
    this.#vocabularySize = vocabularySize;
  }

  /** Compiles every schema of a specification. @throws InvalidRequestError for a schema that cannot be compiled */
  async prepare(specification: unknown): Promise<void> {
    const spec = specification as AnswerConstraintSpec;
    const schemas = enforcedSchemas(spec);
    if (schemas.length === 0) return;
    const grammars = await this.#load();
    for (const [field, schema] of schemas) {
      await grammars.compile(field, schema);
      // A compilation stops the thread: answers in progress get a step between two of them.
      await nextTurn();
    }
  }

  /** The constraint of a prepared specification; null for null. */
  create(specification: unknown): TokenConstraint | null {
    if (specification === null) return null;
    this.#control ??= harmonyTokens(this.#snapshot.tokenizer);
    const grammars = {
      start: async (schema: string | null): Promise<JsonBody> => (await this.#load()).start(schema),
    };
    const spec = specification as AnswerConstraintSpec;
    return new AnswerConstraint(spec, this.#snapshot.tokenizer, this.#control, this.#vocabularySize, grammars);
  }

  [Symbol.dispose](): void {
    void this.#grammars?.then((grammars) => grammars[Symbol.dispose]());
    this.#grammars = null;
  }

  async #load(): Promise<JsonGrammars> {
    const { JsonGrammars } = await import('../constraint/json-grammar.ts');
    this.#grammars ??= JsonGrammars.create(this.#snapshot.tokenizer, this.#endToken);
    return this.#grammars;
  }

  get #endToken(): number {
    this.#control ??= harmonyTokens(this.#snapshot.tokenizer);
    return this.#control.return;
  }
}
