import type { Tokenizer } from '../../src/tokenizer/tokenizer.ts';

const SPECIAL_TOKENS = [
  '<|startoftext|>',
  '<|endoftext|>',
  '<|return|>',
  '<|constrain|>',
  '<|channel|>',
  '<|start|>',
  '<|end|>',
  '<|message|>',
  '<|call|>',
  '<|reserved_1|>',
];
/** Words that are one token, as in a real vocabulary. */
const WORDS = ['assistant', ' to=', 'functions', 'commentary', 'analysis', 'final', ' ', 'json', '<|', '|>', 'channel'];

/** A vocabulary small enough to read: 256 bytes, a few words, then harmony's markers. Characters may span tokens. */
export class ByteTokenizer implements Tokenizer {
  readonly specialTokens: ReadonlyMap<string, number>;
  readonly #bytes: Uint8Array[] = [];
  readonly #words: ReadonlyMap<string, number>;

  constructor() {
    for (let byte = 0; byte < 256; byte += 1) this.#bytes.push(Uint8Array.of(byte));
    this.#words = new Map(WORDS.map((word) => [word, this.#add(word)] as const));
    this.specialTokens = new Map(SPECIAL_TOKENS.map((token) => [token, this.#add(token)] as const));
  }

  get vocabularySize(): number {
    return this.#bytes.length;
  }

  encode(text: string): number[] {
    const ids: number[] = [];
    for (const piece of text.split(new RegExp(`(${WORDS.map(escape).join('|')})`))) {
      const word = this.#words.get(piece);
      if (word === undefined) ids.push(...new TextEncoder().encode(piece));
      else ids.push(word);
    }
    return ids;
  }

  encodeWithSpecialTokens(text: string): number[] {
    return text.split(/(<\|\w+\|>)/).flatMap((piece) => {
      const special = this.specialTokens.get(piece);
      return special === undefined ? this.encode(piece) : [special];
    });
  }

  decode(ids: Iterable<number>): string {
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(
      Uint8Array.from([...ids].flatMap((id) => [...this.tokenBytes(id)])),
    );
  }

  tokenBytes(id: number): Uint8Array {
    const bytes = this.#bytes[id];
    if (bytes === undefined) throw new RangeError(`no token ${id}`);
    return bytes;
  }

  isSpecial(id: number): boolean {
    return id >= 256 + WORDS.length && id < this.#bytes.length;
  }

  dispose(): void {}

  #add(text: string): number {
    this.#bytes.push(new TextEncoder().encode(text));
    return this.#bytes.length - 1;
  }
}

function escape(text: string): string {
  return text.replaceAll(/[|]/g, '\\|');
}
