/**
 * Token masks that keep a message body inside a JSON schema.
 */

import { DisposedError, InvalidRequestError } from '../../errors.ts';
import type { TokenMask } from '../../sampling/token-mask.ts';
import { LeastRecentMap } from '../least-recent-map.ts';
import { BodyMatcher, GrammarMasks, TokenMasks } from '../matcher/body-matcher.ts';
import { Grammar } from '../matcher/grammar.ts';
import { TokenTrie, type TokenVocabulary } from '../matcher/token-trie.ts';
import { SchemaRefusal } from '../schema/refusal.ts';
import { SchemaLanguage } from '../schema/schema-language.ts';

/** What a grammar has to know of a vocabulary. */
export type GrammarVocabulary = TokenVocabulary;

/** What may come next in a body. */
export interface BodyMask {
  readonly mask: TokenMask;
  /** Whether the body may also end here. */
  readonly endAllowed: boolean;
}

/** Follows one JSON body token by token. */
export interface JsonBody extends Disposable {
  next(): Promise<BodyMask>;
  /** Resolves to false where the token is outside the grammar; nothing has changed then. */
  accept(token: number): Promise<boolean>;
}

/** Where JSON bodies come from. */
export interface JsonBodySource {
  /** Starts a body that follows a schema, or is any JSON object for null. */
  start(schema: string | null): Promise<JsonBody>;
}

const ANY_OBJECT = JSON.stringify({ type: 'object' });

/** What to do about a schema that is refused. */
export const ADVICE = 'leave it out, or say it with other keywords';

/** Compiled schemas kept for further requests: agents send the same tools with every turn. */
const KEPT_SCHEMAS = 64;
/** A grammar that has found so many places is made anew for the next body. */
const MOST_PLACES = 100_000;

/** Compiles schemas for one vocabulary. */
export class JsonGrammars implements JsonBodySource, Disposable {
  readonly #tokens: TokenMasks;
  readonly #compiled = new LeastRecentMap<GrammarMasks>(KEPT_SCHEMAS);
  readonly #refused = new LeastRecentMap<string>(KEPT_SCHEMAS);
  #disposed = false;

  private constructor(vocabulary: GrammarVocabulary) {
    this.#tokens = new TokenMasks(new TokenTrie(vocabulary), vocabulary.vocabularySize);
  }

  static create(vocabulary: GrammarVocabulary): Promise<JsonGrammars> {
    return Promise.resolve(new JsonGrammars(vocabulary));
  }

  /**
   * Compiles a schema ahead of `start`.
   *
   * @param field Where the request has the schema, for the error.
   * @param schema JSON text of a schema, or null for any JSON object.
   * @throws InvalidRequestError where the schema cannot be enforced whole, with the keyword and a JSON pointer to it.
   */
  compile(field: string, schema: string | null): Promise<void> {
    return new Promise((resolve) => {
      this.#compile(field, schema);
      resolve();
    });
  }

  /** Starts a body that follows a schema that `compile` took, or is any JSON object for null. */
  start(schema: string | null): Promise<JsonBody> {
    return new Promise((resolve) => {
      resolve(new MatchedBody(new BodyMatcher(this.#compile('schema', schema)), this.#tokens.trie));
    });
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
  }

  #compile(field: string, schema: string | null): GrammarMasks {
    if (this.#disposed) throw new DisposedError();
    const text = schema ?? ANY_OBJECT;
    const known = this.#compiled.get(text);
    if (known !== undefined && known.grammar.size < MOST_PLACES) return known;
    let reason = this.#refused.get(text);
    if (reason === undefined) {
      try {
        const masks = new GrammarMasks(grammarOf(text), this.#tokens);
        this.#compiled.set(text, masks);
        return masks;
      } catch (error) {
        if (!(error instanceof SchemaRefusal)) throw error;
        reason = error.message;
        this.#refused.set(text, reason);
      }
    }
    throw new InvalidRequestError(field, reason, ADVICE);
  }
}

/** @throws SchemaRefusal */
function grammarOf(schema: string): Grammar {
  const language = languageOf(schema);
  if (!language.isProductive(language.root)) {
    throw new SchemaRefusal('schema', '', 'which no value that can be written fits');
  }
  return new Grammar(language);
}

function languageOf(schema: string): SchemaLanguage {
  try {
    return new SchemaLanguage(JSON.parse(schema));
  } catch (error) {
    if (error instanceof RangeError) throw new SchemaRefusal('schema', '', 'which is nested too deeply');
    throw error;
  }
}

class MatchedBody implements JsonBody {
  readonly #matcher: BodyMatcher;
  readonly #trie: TokenTrie;

  constructor(matcher: BodyMatcher, trie: TokenTrie) {
    this.#matcher = matcher;
    this.#trie = trie;
  }

  next(): Promise<BodyMask> {
    return Promise.resolve({ mask: this.#matcher.mask(), endAllowed: this.#matcher.mayEnd });
  }

  accept(token: number): Promise<boolean> {
    const bytes = this.#trie.tokenBytes(token);
    return Promise.resolve(bytes !== null && this.#matcher.accept(bytes));
  }

  [Symbol.dispose](): void {
    // Nothing is held outside of the heap.
  }
}
