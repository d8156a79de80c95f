/**
 * Token masks that keep a message body inside a JSON schema.
 *
 * @module
 */
import type { CompiledGrammar, GrammarCompiler, GrammarMatcher, TokenizerInfo } from '@mlc-ai/web-xgrammar';
import { InvalidRequestError } from '../errors.ts';
import type { TokenMask } from '../sampling/token-mask.ts';
import { loadXGrammar } from './xgrammar.ts';

/** What a grammar has to know of a vocabulary. */
export interface GrammarVocabulary {
  readonly vocabularySize: number;
  /** The bytes of an ordinary token. */
  tokenBytes(id: number): Uint8Array;
  /** Control tokens: never part of a body. */
  isSpecial(id: number): boolean;
}

/** Follows one JSON body token by token. */
export interface JsonBody extends Disposable {
  /** The tokens that may come next; `endAllowed` says whether the body may also end here. */
  next(): Promise<{ readonly mask: TokenMask; readonly endAllowed: boolean }>;
  /** @returns false where the token is outside the grammar; nothing has changed then. */
  accept(token: number): boolean;
}

/** Any JSON object: strict compilation would otherwise allow no property that the schema does not name. */
const ANY_OBJECT = JSON.stringify({ type: 'object', additionalProperties: true });

/** Compiled schemas kept for further requests: agents send the same tools with every turn. */
const KEPT_SCHEMAS = 64;

/** GPT-2's printable stand-ins for bytes, which xgrammar's `byte_level` vocabularies are written in. */
function byteStandIns(): string[] {
  const printable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
}

/** Compiles schemas for one vocabulary. */
export class JsonGrammars implements Disposable {
  readonly #compiler: GrammarCompiler;
  readonly #tokenizer: TokenizerInfo;
  readonly #endToken: number;
  readonly #compiled = new Map<string, CompiledGrammar>();

  private constructor(tokenizer: TokenizerInfo, compiler: GrammarCompiler, endToken: number) {
    this.#tokenizer = tokenizer;
    this.#compiler = compiler;
    this.#endToken = endToken;
  }

  /** @param endToken A control token that stands for "the body ends here" in the masks. */
  static async create(vocabulary: GrammarVocabulary, endToken: number): Promise<JsonGrammars> {
    const { TokenizerInfo, GrammarCompiler } = loadXGrammar();
    const standIns = byteStandIns();
    const words = Array.from({ length: vocabulary.vocabularySize }, (_, id) =>
      // xgrammar never lets a token without bytes through: control tokens stay out of every body.
      vocabulary.isSpecial(id) ? '' : Array.from(vocabulary.tokenBytes(id), (byte) => standIns[byte]).join(''),
    );
    const tokenizer = await TokenizerInfo.createTokenizerInfo(words, 'byte_level', false, words.length, [endToken]);
    return new JsonGrammars(tokenizer, await GrammarCompiler.createGrammarCompiler(tokenizer), endToken);
  }

  /**
   * Compiles a schema ahead of `start`.
   *
   * @param field Where the request has the schema, for the error.
   * @param schema JSON text of a schema, or null for any JSON object.
   * @throws InvalidRequestError where the grammar library refuses the schema.
   */
  async compile(field: string, schema: string | null): Promise<void> {
    try {
      await this.#compile(schema ?? ANY_OBJECT);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new InvalidRequestError(field, `a schema that cannot be followed: ${reason}`, 'simplify the schema');
    }
  }

  /** Starts a body that follows a schema, or is any JSON object for null. */
  async start(schema: string | null): Promise<JsonBody> {
    const { GrammarMatcher } = loadXGrammar();
    const matcher = await GrammarMatcher.createGrammarMatcher(await this.#compile(schema ?? ANY_OBJECT));
    return new MatchedBody(matcher, this.#endToken);
  }

  [Symbol.dispose](): void {
    for (const grammar of this.#compiled.values()) grammar.dispose();
    this.#compiled.clear();
    this.#compiler.dispose();
    this.#tokenizer.dispose();
  }

  async #compile(schema: string): Promise<CompiledGrammar> {
    const known = this.#compiled.get(schema);
    if (known !== undefined) return known;
    // At most one blank between tokens of JSON: models would otherwise be let to emit them for ever.
    const grammar = await this.#compiler.compileJSONSchema(schema, true, -1, undefined, true, 1);
    if (this.#compiled.size >= KEPT_SCHEMAS) {
      const [oldest] = this.#compiled.keys();
      if (oldest !== undefined) {
        this.#compiled.get(oldest)?.dispose();
        this.#compiled.delete(oldest);
      }
    }
    this.#compiled.set(schema, grammar);
    return grammar;
  }
}

class MatchedBody implements JsonBody {
  readonly #matcher: GrammarMatcher;
  readonly #endToken: number;

  constructor(matcher: GrammarMatcher, endToken: number) {
    this.#matcher = matcher;
    this.#endToken = endToken;
  }

  async next(): Promise<{ mask: TokenMask; endAllowed: boolean }> {
    const words = await this.#matcher.getNextTokenBitmask();
    const mask = new Uint32Array(words.buffer, words.byteOffset, words.length);
    const word = this.#endToken >>> 5;
    const bit = 1 << (this.#endToken & 31);
    const endAllowed = ((mask[word] ?? 0) & bit) !== 0;
    mask[word] = (mask[word] ?? 0) & ~bit;
    return { mask, endAllowed };
  }

  accept(token: number): boolean {
    return this.#matcher.acceptToken(token);
  }

  [Symbol.dispose](): void {
    this.#matcher.dispose();
  }
}
