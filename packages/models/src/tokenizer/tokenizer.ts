import { Tiktoken } from 'tiktoken/lite';
import { BytePairMerger } from './byte-pair-merging.ts';
import { DisposedError, InvalidTokenizerError, TooManyTokensError, UnknownTokenError } from '../errors.ts';
import { type TokenizerData, tokenizerDataOf } from './read-tokenizer.ts';
import { mayHaveRun, O200K_PATTERN, translateSplitPattern } from './split-pattern.ts';
import { TokenTable } from './token-table.ts';

/** Text to token ids and back. User text can never become a special token. */
export interface Tokenizer {
  /** Ids are the whole numbers from 0 to vocabularySize - 1. A model's vocabulary may be padded beyond it. */
  readonly vocabularySize: number;
  /** Special tokens by text, such as '<|start|>'. */
  readonly specialTokens: ReadonlyMap<string, number>;
  /**
   * Encodes text as ordinary text: '<|end|>' in it becomes letters, never the token. Lone surrogates become U+FFFD.
   *
   * Takes time in proportion to the text, for GPT-OSS's pattern. Others go to tiktoken, which gives up on texts that make
   * them backtrack without end; one that JavaScript cannot read (possessive or atomic groups) leaves it long runs of one
   * kind of characters too, and its time is quadratic in their length. Of characters, JavaScript may know a newer Unicode
   * than the model's own tokenizer: one that was unassigned then may be cut off from its neighbours in another way.
   *
   * @param most The most ids that are of use: a text of many more is given up early. Default no limit.
   * @throws InvalidTokenizerError where the pattern of the file gives up on the text, or is refused only now: see
   * TokenizerOptions.
   * @throws TooManyTokensError where there are more ids than `most`.
   */
  encode(text: string, most?: number): number[];
  /**
   * Encodes text in which special tokens are special (training files, rendered prompts). Never for user text.
   *
   * @param most as for `encode`.
   * @throws InvalidTokenizerError, TooManyTokensError as `encode` does.
   */
  encodeWithSpecialTokens(text: string, most?: number): number[];
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
   * When to build the encoder for a split pattern other than GPT-OSS's, which compiles the pattern and takes about 30 MB
   * for 4096 tokens. `'when-needed'` leaves it to the first text, for a thread that may never see one; a pattern that
   * cannot be compiled is found out no sooner. Default `'now'`.
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
  return tokenizerOf(tokenizerDataOf(json, path), path, options);
}

/** Makes a tokenizer from what was read. Errors as for `createTokenizer`. */
export function tokenizerOf(data: TokenizerData, path: string, options: TokenizerOptions = {}): Tokenizer {
  const tokenizer = new BytePairTokenizer(data, path);
  if (options.encoder !== 'when-needed' && data.pattern !== O200K_PATTERN) tokenizer.buildEncoder();
  return tokenizer;
}

/** Runs of characters from which on pieces are merged here: the encoder's time is quadratic in a piece's length. */
const LONG_RUN = 1000;

/** Encodes texts with GPT-OSS's pattern; with others, texts with long runs and those that may be given up. */
interface OwnEncoder {
  readonly pattern: RegExp;
  readonly special: RegExp | null;
  readonly merger: BytePairMerger;
}

class BytePairTokenizer implements Tokenizer {
  readonly vocabularySize: number;
  readonly specialTokens: ReadonlyMap<string, number>;
  readonly #tokens: TokenTable;
  readonly #specialIds: ReadonlySet<number>;
  readonly #pattern: string;
  readonly #path: string;
  #encoder: Tiktoken | null = null;
  /** Null where the pattern cannot be translated; undefined before it is needed. */
  #own: OwnEncoder | null | undefined;
  /** An encoder that gave up on a text counts as in use for ever and refuses to be freed: its memory is lost. */
  #encoderGaveUp = false;
  #disposed = false;

  constructor({ tokens, specialTokens, pattern }: TokenizerData, path: string) {
    this.#tokens = new TokenTable(tokens);
    this.vocabularySize = this.#tokens.size;
    this.specialTokens = specialTokens;
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

  encode(text: string, most = Number.POSITIVE_INFINITY): number[] {
    const own = this.#ownEncoder(text, most);
    if (own !== null) return this.#encodeOrdinary(own, text.toWellFormed(), [], most);
    return this.#encode((encoder) => encoder.encode_ordinary(text), most);
  }

  encodeWithSpecialTokens(text: string, most = Number.POSITIVE_INFINITY): number[] {
    const own = this.#ownEncoder(text, most);
    if (own !== null) return this.#encodeMixed(own, text.toWellFormed(), most);
    return this.#encode((encoder) => encoder.encode(text, 'all', []), most);
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

  #encode(encode: (encoder: Tiktoken) => Uint32Array, most: number): number[] {
    const encoder = this.buildEncoder();
    let ids: Uint32Array;
    try {
      ids = encode(encoder);
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
    if (ids.length > most) throw new TooManyTokensError(most);
    return Array.from(ids);
  }

  /**
   * Our own encoder: for every text where the pattern is known to be harmless; else for one with long runs, and for one
   * that may have many more ids than `most`, where it stops. Null where the library's will do.
   */
  #ownEncoder(text: string, most: number): OwnEncoder | null {
    this.#checkOpen();
    const isOwn = this.#pattern === O200K_PATTERN || text.length > most || mayHaveRun(text, LONG_RUN);
    if (!isOwn) return null;
    this.#own ??= this.#makeOwnEncoder();
    return this.#own;
  }

  #makeOwnEncoder(): OwnEncoder | null {
    const pattern = translateSplitPattern(this.#pattern);
    if (pattern === null) return null;
    const merger = new BytePairMerger(this.#tokens);
    // Where one special token begins like another, the longer one counts.
    const names = [...this.specialTokens.keys()].sort((a, b) => b.length - a.length);
    const escaped = names.map((name) => name.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, String.raw`\$&`));
    return { pattern, merger, special: escaped.length === 0 ? null : new RegExp(escaped.join('|'), 'g') };
  }

  #encodeOrdinary({ pattern, merger }: OwnEncoder, text: string, ids: number[], most: number): number[] {
    for (const [piece] of text.matchAll(pattern)) {
      // A piece of many bytes takes long by itself: it is not begun where it cannot fit.
      if (ids.length + merger.fewestIds(piece) > most) throw new TooManyTokensError(most);
      merger.encode(piece, ids);
    }
    if (ids.length > most) throw new TooManyTokensError(most);
    return ids;
  }

  #encodeMixed(own: OwnEncoder, text: string, most: number): number[] {
    const ids: number[] = [];
    let from = 0;
    for (const match of own.special === null ? [] : text.matchAll(own.special)) {
      this.#encodeOrdinary(own, text.slice(from, match.index), ids, most);
      ids.push(this.specialTokens.get(match[0]) ?? 0);
      from = match.index + match[0].length;
    }
    return this.#encodeOrdinary(own, text.slice(from), ids, most);
  }

  #bytes(id: number): Uint8Array {
    this.#checkOpen();
    const bytes = this.#tokens.bytesOf(id);
    if (bytes === undefined) throw new UnknownTokenError(id, this.vocabularySize);
    return bytes;
  }

  #makeEncoder(): Tiktoken {
    const ranks: string[] = [];
    for (let id = 0; id < this.vocabularySize; id += 1) {
      if (this.#specialIds.has(id)) continue;
      const bytes = this.#bytes(id);
      const base64 = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');
      ranks.push(`${base64} ${id}`);
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
