/**
 * The tokens of a vocabulary by their bytes.
 */

/** What a mask needs to know of a vocabulary. */
export interface TokenVocabulary {
  readonly vocabularySize: number;
  /** The bytes of an ordinary token. */
  tokenBytes(id: number): Uint8Array;
  /** Control tokens: never part of a body. */
  isSpecial(id: number): boolean;
}

/** How many characters a subtree's longest token has at most, where all of them are plain; more than any run otherwise. */
const NOT_PLAIN = 255;

/** The states of a UTF-8 character in progress: what its next byte may be, and how many follow. */
const CONTINUATIONS: readonly (readonly [from: number, to: number, next: number])[] = [
  [0, 0, 0],
  [0x80, 0xbf, 0],
  [0x80, 0xbf, 1],
  [0x80, 0xbf, 2],
  [0xa0, 0xbf, 1],
  [0x80, 0x9f, 1],
  [0x90, 0xbf, 2],
  [0x80, 0x8f, 2],
];

/** The state after a plain character's first byte; -1 for what is none inside of a JSON string. */
function leadState(byte: number): number {
  if (byte < 0x20 || byte === 0x22 || byte === 0x5c) return -1;
  if (byte < 0x80) return 0;
  if (byte >= 0xc2 && byte <= 0xdf) return 1;
  if (byte === 0xe0) return 4;
  if (byte === 0xed) return 5;
  if (byte >= 0xe1 && byte <= 0xef) return 2;
  if (byte === 0xf0) return 6;
  if (byte === 0xf4) return 7;
  return byte >= 0xf1 && byte <= 0xf3 ? 3 : -1;
}

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
  readonly #plain: Uint8Array;
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
    this.#plain = this.#findPlain();
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

  /** Whether everything below the node is at most so many characters that stand for themselves in a JSON string. */
  isPlain(node: number, characters: number): boolean {
    return (this.#plain[node] ?? NOT_PLAIN) <= Math.min(characters, NOT_PLAIN - 1);
  }

  /** For every node, the characters that its subtree adds, where it begins between two characters. */
  #findPlain(): Uint8Array {
    const states = CONTINUATIONS.length;
    const found = new Uint8Array(this.bytes.length * states);
    for (let node = this.bytes.length - 1; node >= 0; node -= 1) {
      const last = this.after[node] ?? 0;
      for (let state = 0; state < states; state += 1) {
        let most = 0;
        for (let child = node + 1; child < last; child = this.after[child] ?? last) {
          const byte = this.bytes[child] ?? 0;
          const [from, to, next] = CONTINUATIONS[state] ?? [0, 0, 0];
          const into = state === 0 ? leadState(byte) : byte >= from && byte <= to ? next : -1;
          const below = into < 0 ? NOT_PLAIN : (found[child * states + into] ?? NOT_PLAIN);
          most = Math.max(most, below === NOT_PLAIN ? NOT_PLAIN : Math.min(below + (state === 0 ? 1 : 0), NOT_PLAIN));
        }
        found[node * states + state] = most;
      }
    }
    return Uint8Array.from(this.bytes, (_, node) => found[node * states] ?? NOT_PLAIN);
  }
}
