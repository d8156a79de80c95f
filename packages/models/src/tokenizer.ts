import { Tiktoken } from 'tiktoken/lite';
import { DisposedError, InvalidTokenizerError, UnknownTokenError } from './errors.ts';
import { parseTokenizerFile, type TokenizerDefinition } from './tokenizer-file.ts';

/** Text to token ids and back. User text can never become a special token. */
export interface Tokenizer {
  /** Ids are the whole numbers from 0 to vocabularySize - 1. A model's vocabulary may be padded beyond it. */
  readonly vocabularySize: number;
  /** Special tokens by text, such as '<|start|>'. */
  readonly specialTokens: ReadonlyMap<string, number>;
  /**
   * Encodes text as ordinary text: '<|end|>' in it becomes letters, never the token. Lone surrogates become U+FFFD.
   *
   * The time is quadratic in the length of a run of letters without a space.
   *
   * @throws InvalidTokenizerError where the pattern of the file gives up on the text, or is refused only now: see
   * TokenizerOptions.
   */
  encode(text: string): number[];
  /**
   * Encodes text in which special tokens are special (training files, rendered prompts). Never for user text.
   *
   * @throws InvalidTokenizerError as `encode` does.
   */
  encodeWithSpecialTokens(text: string): number[];
  /**
   * Special tokens come out as their text. Bytes that are no UTF-8 become U+FFFD.
   *
   * @throws UnknownTokenError
   */
  decode(ids: Iterable<number>): string;
  /**
   * The bytes of one token, as a copy.
   *
   * @throws UnknownTokenError
   */
  tokenBytes(id: number): Uint8Array;
  isSpecial(id: number): boolean;
  /** Frees the encoder. All methods throw DisposedError afterwards. */
  dispose(): void;
}

/** How to make a tokenizer. */
export interface TokenizerOptions {
  /**
   * When to build the encoder, which compiles the pattern and takes about 30 MB for 4096 tokens. `'when-needed'` leaves
   * it to the first text, for a thread that may never see one; a pattern that cannot be compiled is found out no sooner.
   * Default `'now'`.
   */
  readonly encoder?: 'now' | 'when-needed';
}

/**
 * Makes a tokenizer from the JSON of a tokenizer.json.
 *
 * @param json the parsed file.
 * @param path names the file in errors.
 * @throws InvalidTokenizerError
 */
export function createTokenizer(json: unknown, path: string, options: TokenizerOptions = {}): Tokenizer {
  const tokenizer = new BytePairTokenizer(parseTokenizerFile(json, path), path);
  if (options.encoder !== 'when-needed') tokenizer.buildEncoder();
  return tokenizer;
}

class BytePairTokenizer implements Tokenizer {
  readonly vocabularySize: number;
  readonly specialTokens: ReadonlyMap<string, number>;
  readonly #tokens: readonly Uint8Array[];
  readonly #specialIds: ReadonlySet<number>;
  readonly #pattern: string;
  readonly #path: string;
  #encoder: Tiktoken | null = null;
  /** An encoder that gave up on a text counts as in use for ever and refuses to be freed: its memory is lost. */
  #encoderGaveUp = false;
  #disposed = false;

  constructor(definition: TokenizerDefinition, path: string) {
    const { tokens, specialTokens, pattern } = definition;
    this.vocabularySize = tokens.length;
    this.specialTokens = specialTokens;
    this.#tokens = tokens;
    this.#specialIds = new Set(specialTokens.values());
    this.#pattern = pattern;
    this.#path = path;
  }

  /** Returns the encoder, made by the first call. */
  buildEncoder(): Tiktoken {
    this.#checkOpen();
    this.#encoder ??= this.#makeEncoder();
    return this.#encoder;
  }

  encode(text: string): number[] {
    return this.#encode((encoder) => encoder.encode_ordinary(text));
  }

  encodeWithSpecialTokens(text: string): number[] {
    return this.#encode((encoder) => encoder.encode(text, 'all', []));
  }

  decode(ids: Iterable<number>): string {
    const parts = Array.from(ids, (id) => this.#bytes(id));
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.concat(parts));
  }

  tokenBytes(id: number): Uint8Array {
    return this.#bytes(id).slice();
  }

  isSpecial(id: number): boolean {
    this.#checkOpen();
    return this.#specialIds.has(id);
  }

  dispose(): void {
    this.#disposed = true;
    if (!this.#encoderGaveUp) this.#encoder?.free();
    this.#encoder = null;
  }

  #encode(encode: (encoder: Tiktoken) => Uint32Array): number[] {
    const encoder = this.buildEncoder();
    try {
      return Array.from(encode(encoder));
    } catch (cause) {
      // A pattern that backtracks without end makes the encoder give up.
      this.#encoderGaveUp = true;
      throw new InvalidTokenizerError(
        this.#path,
        'pre_tokenizer.Split.pattern',
        'cannot be matched with this text',
        cause,
      );
    }
  }

  #bytes(id: number): Uint8Array {
    this.#checkOpen();
    const bytes = this.#tokens[id];
    if (bytes === undefined) throw new UnknownTokenError(id, this.vocabularySize);
    return bytes;
  }

  #makeEncoder(): Tiktoken {
    const ranks: string[] = [];
    for (const [id, bytes] of this.#tokens.entries()) {
      if (!this.#specialIds.has(id)) ranks.push(`${Buffer.from(bytes).toString('base64')} ${id}`);
    }
    try {
      return new Tiktoken(ranks.join('\n'), Object.fromEntries(this.specialTokens), this.#pattern);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new InvalidTokenizerError(this.#path, 'pre_tokenizer.Split.pattern', `is refused: ${reason}`, cause);
    }
  }

  #checkOpen(): void {
    if (this.#disposed) throw new DisposedError(`The tokenizer of ${this.#path}`);
  }
}
