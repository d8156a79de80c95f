/**
 * Token masks that keep a message body inside a JSON schema.
 */

import { DisposedError, InvalidRequestError } from '../../errors.ts';
import type { TokenMask } from '../../sampling/token-mask.ts';
import { LeastRecentMap } from '../least-recent-map.ts';
import { BodyMatcher, GrammarMasks } from '../matcher/body-matcher.ts';
import { Grammar } from '../matcher/grammar.ts';
import { RuleCharacters } from '../matcher/rule-characters.ts';
import { TokenTrie, type TokenVocabulary } from '../matcher/token-trie.ts';
import { TokenMasks } from '../matcher/token-walk.ts';
import { SchemaRefusal } from '../schema/refusal.ts';
import { SchemaLanguage } from '../schema/schema-language.ts';
import { ruleNetwork } from '../text-grammar/rule-network.ts';
import { larkGrammar } from '../text-grammar/text-grammar.ts';
import { TextGrammarError } from '../text-grammar/text-grammar-error.ts';
import { definitionIn, TEXT_ARGUMENTS } from '../text-grammar/text-schema.ts';

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
      resolve(new MatchedBody(() => this.#compile('schema', schema), this.#tokens.trie));
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
        if (!(error instanceof SchemaRefusal) && !(error instanceof TextGrammarError)) throw error;
        reason = error.message;
        this.#refused.set(text, reason);
      }
    }
    throw new InvalidRequestError(field, reason, ADVICE);
  }
}

/** @throws SchemaRefusal, TextGrammarError */
function grammarOf(schema: string): Grammar {
  const definition = definitionIn(schema);
  if (definition !== null) {
    return new Grammar(new SchemaLanguage(TEXT_ARGUMENTS), new RuleCharacters(ruleNetwork(larkGrammar(definition))));
  }
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
  readonly #compile: () => GrammarMasks;
  readonly #trie: TokenTrie;
  readonly #bytes: Uint8Array[] = [];
  #masks: GrammarMasks;
  #matcher: BodyMatcher;
  /** Places at which the grammar is made anew. */
  #most: number;

  constructor(compile: () => GrammarMasks, trie: TokenTrie) {
    this.#compile = compile;
    this.#trie = trie;
    this.#masks = compile();
    this.#matcher = new BodyMatcher(this.#masks);
    this.#most = MOST_PLACES;
  }

  next(): Promise<BodyMask> {
    if (this.#masks.grammar.size > this.#most) this.#startAgain();
    return Promise.resolve({ mask: this.#matcher.mask(), endAllowed: this.#matcher.mayEnd });
  }

  accept(token: number): Promise<boolean> {
    const bytes = this.#trie.tokenBytes(token);
    const taken = bytes !== null && this.#matcher.accept(bytes);
    if (taken) this.#bytes.push(bytes);
    return Promise.resolve(taken);
  }

  /** What was found for other places of a long body is forgotten. */
  #startAgain(): void {
    this.#masks = this.#compile();
    this.#matcher = new BodyMatcher(this.#masks);
    for (const bytes of this.#bytes) this.#matcher.accept(bytes);
    this.#most = this.#masks.grammar.size + MOST_PLACES;
  }

  [Symbol.dispose](): void {
    // Nothing is held outside of the heap.
  }
}
