/**
 * The tokens of a vocabulary by their bytes.
 */

import { NOTHING_READ, type Utf8Reading, readByte } from './utf8.ts';

/** What a mask needs to know of a vocabulary. */
export interface TokenVocabulary {
  readonly vocabularySize: number;
  /** The bytes of an ordinary token. */
  tokenBytes(id: number): Uint8Array;
  /** Control tokens: never part of a body. */
  isSpecial(id: number): boolean;
}

/** Of a node inside of a character, and of one whose bytes are no character. */
export const PARTIAL = -1;
export const NO_CHARACTER = -2;

/** Nodes in depth-first order: a node's subtree is the nodes up to `after`, and its tokens stand side by side. */
export class TokenTrie {
  /** Tokens in the order of their bytes. */
  readonly tokens: Int32Array;
  readonly bytes: Uint8Array;
  /** The node behind a node's subtree. */
  readonly after: Int32Array;
  /** Where in `tokens` a node's subtree begins; it ends where that of `after` begins. */
  readonly first: Int32Array;
  /** Where the tokens that end at the node end. */
  readonly own: Int32Array;
  readonly depth: Uint16Array;
  /** For every node, the character that ends with it: PARTIAL inside of one, NO_CHARACTER where its bytes are none. */
  readonly codePoints: Int32Array;
  readonly #texts: readonly string[];
  /** Where a token stands in `tokens`. */
  readonly #indices: ReadonlyMap<number, number>;

  constructor(vocabulary: TokenVocabulary) {
    const entries: { id: number; text: string }[] = [];
    for (let id = 0; id < vocabulary.vocabularySize; id += 1) {
      if (vocabulary.isSpecial(id)) continue;
      const text = Buffer.from(vocabulary.tokenBytes(id)).toString('latin1');
      if (text !== '') entries.push({ id, text });
    }
    entries.sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : a.id - b.id));
    this.tokens = Int32Array.from(entries, ({ id }) => id);
    this.#texts = entries.map(({ text }) => text);
    this.#indices = new Map(entries.map(({ id }, index) => [id, index]));
    const bytes: number[] = [0];
    const after: number[] = [0];
    const first: number[] = [0];
    const own: number[] = [0];
    const depth: number[] = [0];
    const path: number[] = [0];
    let before = '';
    this.#texts.forEach((text, index) => {
      let shared = 0;
      while (shared < before.length && shared < text.length && before.charCodeAt(shared) === text.charCodeAt(shared)) {
        shared += 1;
      }
      while (path.length > shared + 1) after[path.pop() ?? 0] = bytes.length;
      for (let at = shared; at < text.length; at += 1) {
        path.push(bytes.length);
        bytes.push(text.charCodeAt(at));
        after.push(0);
        first.push(index);
        own.push(index);
        depth.push(at + 1);
      }
      own[path.at(-1) ?? 0] = index + 1;
      before = text;
    });
    while (path.length > 0) after[path.pop() ?? 0] = bytes.length;
    this.bytes = Uint8Array.from(bytes);
    this.after = Int32Array.from(after);
    this.first = Int32Array.from([...first, this.tokens.length]);
    this.own = Int32Array.from(own);
    this.depth = Uint16Array.from(depth);
    this.codePoints = this.#findCodePoints();
  }

  /** The end of a subtree's tokens in `tokens`. */
  end(node: number): number {
    return this.first[this.after[node] ?? 0] ?? this.tokens.length;
  }

  /** The bytes of a token, one a character. @param index Into `tokens`. */
  text(index: number): string {
    return this.#texts[index] ?? '';
  }

  /** The bytes of a token; null for one that is never part of a body. */
  tokenBytes(id: number): Uint8Array | null {
    const index = this.#indices.get(id);
    return index === undefined ? null : Buffer.from(this.text(index), 'latin1');
  }

  /** A token may begin inside of a character: the bytes that end that one are none. */
  #findCodePoints(): Int32Array {
    const codePoints = new Int32Array(this.bytes.length).fill(NO_CHARACTER);
    const open: (Utf8Reading & { readonly node: number })[] = [{ node: 0, ...NOTHING_READ }];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      const last = this.after[at.node] ?? 0;
      for (let node = at.node + 1; node < last; node = this.after[node] ?? last) {
        const read = readByte(this.bytes[node] ?? 0, at);
        codePoints[node] = read === null ? NO_CHARACTER : read.left > 0 ? PARTIAL : read.bits;
        open.push({ node, ...(read ?? NOTHING_READ) });
      }
    }
    return codePoints;
  }
}
