import type { Tokenizer } from './tokenizer.ts';

/**
 * Decodes tokens one at a time. A character whose bytes are spread over several tokens comes out with the last of them,
 * so that the pieces joined are what Tokenizer.decode gives for all tokens at once.
 */
export class TokenStreamDecoder {
  readonly #tokenizer: Pick<Tokenizer, 'tokenBytes'>;
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  constructor(tokenizer: Pick<Tokenizer, 'tokenBytes'>) {
    this.#tokenizer = tokenizer;
  }

  /**
   * The text that this token completes: empty while a character is unfinished.
   *
   * @throws UnknownTokenError
   */
  push(id: number): string {
    return this.#decoder.decode(this.#tokenizer.tokenBytes(id), { stream: true });
  }

  /** The end of the text: U+FFFD for an unfinished character, else empty. The next push begins a new text. */
  finish(): string {
    return this.#decoder.decode();
  }
}
