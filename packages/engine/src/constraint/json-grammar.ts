/**
 * Token masks that keep a message body inside a JSON schema.
 *
 * @module
 */
import type { CompiledGrammar, GrammarCompiler, GrammarMatcher } from '@mlc-ai/web-xgrammar';
import { DisposedError, InvalidRequestError } from '../errors.ts';
import type { TokenMask } from '../sampling/token-mask.ts';
import { LeastRecentMap } from './least-recent-map.ts';
import { loadXGrammar, type XGrammar } from './xgrammar.ts';

/** What a grammar has to know of a vocabulary. */
export interface GrammarVocabulary {
  readonly vocabularySize: number;
  /** The bytes of an ordinary token. */
  tokenBytes(id: number): Uint8Array;
  /** Control tokens: never part of a body. */
  isSpecial(id: number): boolean;
}

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

/** A library instance with the vocabulary and the schemas that it has compiled. */
interface Compiler {
  readonly library: XGrammar;
  readonly compiler: GrammarCompiler;
  readonly compiled: LeastRecentMap<CompiledGrammar>;
}

/** Compiles schemas for one vocabulary. */
export class JsonGrammars implements JsonBodySource, Disposable {
  readonly #words: readonly string[];
  readonly #endToken: number;
  readonly #refused = new LeastRecentMap<string>(KEPT_SCHEMAS);
  #compiler: Promise<Compiler>;

  private constructor(words: readonly string[], endToken: number) {
    this.#words = words;
    this.#endToken = endToken;
    this.#compiler = this.#createCompiler();
  }

  /** @param endToken A control token that stands for "the body ends here" in the masks. */
  static async create(vocabulary: GrammarVocabulary, endToken: number): Promise<JsonGrammars> {
    const standIns = byteStandIns();
    const words = Array.from({ length: vocabulary.vocabularySize }, (_, id) =>
      // xgrammar never lets a token without bytes through: control tokens stay out of every body.
      vocabulary.isSpecial(id) ? '' : Array.from(vocabulary.tokenBytes(id), (byte) => standIns[byte]).join(''),
    );
    const grammars = new JsonGrammars(words, endToken);
    await grammars.#compiler;
    return grammars;
  }

  /**
   * Compiles a schema ahead of `start`.
   *
   * @param field Where the request has the schema, for the error.
   * @param schema JSON text of a schema, or null for any JSON object.
   * @throws InvalidRequestError where the grammar library refuses the schema.
   */
  async compile(field: string, schema: string | null): Promise<void> {
    const text = schema ?? ANY_OBJECT;
    let reason = this.#refused.get(text);
    if (reason === undefined) {
      const { library, compiler, compiled } = await this.#compiler;
      try {
        await compileInto(compiled, compiler, text);
        return;
      } catch (error) {
        reason = library.complaint() || String(error);
        this.#refused.set(text, reason);
        // The instance is aborted: bodies in progress can still be followed, but nothing new may be compiled in it.
        this.#compiler = this.#createCompiler();
      }
    }
    throw new InvalidRequestError(field, `a schema that cannot be followed: ${reason}`, 'simplify the schema');
  }

  /** Starts a body that follows a schema that `compile` took, or is any JSON object for null. */
  async start(schema: string | null): Promise<JsonBody> {
    const { library, compiler, compiled } = await this.#compiler;
    const grammar = await compileInto(compiled, compiler, schema ?? ANY_OBJECT);
    return new MatchedBody(await library.api.GrammarMatcher.createGrammarMatcher(grammar), this.#endToken);
  }

  /** The library's memory goes with its instance, when the last body is done. */
  [Symbol.dispose](): void {
    this.#compiler = Promise.reject(new DisposedError());
    this.#compiler.catch(() => undefined);
  }

  async #createCompiler(): Promise<Compiler> {
    const library = loadXGrammar();
    const { TokenizerInfo, GrammarCompiler } = library.api;
    const words = [...this.#words];
    const tokenizer = await TokenizerInfo.createTokenizerInfo(words, 'byte_level', false, words.length, [
      this.#endToken,
    ]);
    const compiler = await GrammarCompiler.createGrammarCompiler(tokenizer);
    return { library, compiler, compiled: new LeastRecentMap(KEPT_SCHEMAS, (grammar) => grammar.dispose()) };
  }
}

async function compileInto(
  compiled: LeastRecentMap<CompiledGrammar>,
  compiler: GrammarCompiler,
  schema: string,
): Promise<CompiledGrammar> {
  const known = compiled.get(schema);
  if (known !== undefined) return known;
  // At most one blank between tokens of JSON: models would otherwise be let to emit them for ever.
  const grammar = await compiler.compileJSONSchema(schema, true, -1, undefined, true, 1);
  compiled.set(schema, grammar);
  return grammar;
}

class MatchedBody implements JsonBody {
  readonly #matcher: GrammarMatcher;
  readonly #endToken: number;

  constructor(matcher: GrammarMatcher, endToken: number) {
    this.#matcher = matcher;
    this.#endToken = endToken;
  }

  async next(): Promise<BodyMask> {
    const words = await this.#matcher.getNextTokenBitmask();
    const mask = new Uint32Array(words.buffer, words.byteOffset, words.length);
    const word = this.#endToken >>> 5;
    const bit = 1 << (this.#endToken & 31);
    const endAllowed = ((mask[word] ?? 0) & bit) !== 0;
    mask[word] = (mask[word] ?? 0) & ~bit;
    return { mask, endAllowed };
  }

  async accept(token: number): Promise<boolean> {
    return this.#matcher.acceptToken(token);
  }

  [Symbol.dispose](): void {
    this.#matcher.dispose();
  }
}
