/** Text to token ids and back. User text can never become a special token. */
export interface Tokenizer {
  readonly vocabularySize: number;
  /** Special tokens by text, such as '<|start|>'. */
  readonly specialTokens: ReadonlyMap<string, number>;
  /** Encodes text as ordinary text: '<|end|>' in it becomes letters, never the token. */
  encode(text: string): number[];
  /** Encodes text in which special tokens are special (training files, rendered prompts). Never for user text. */
  encodeWithSpecialTokens(text: string): number[];
  /** Special tokens come out as their text. Bytes that are no UTF-8 become U+FFFD. */
  decode(ids: Iterable<number>): string;
  /** The bytes of one token. */
  tokenBytes(id: number): Uint8Array;
  isSpecial(id: number): boolean;
  dispose(): void;
}
