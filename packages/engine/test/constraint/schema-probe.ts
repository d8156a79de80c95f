import { BodyMatcher, GrammarMasks } from '../../src/constraint/matcher/body-matcher.ts';
import { Grammar } from '../../src/constraint/matcher/grammar.ts';
import { TokenTrie } from '../../src/constraint/matcher/token-trie.ts';
import { TokenMasks } from '../../src/constraint/matcher/token-walk.ts';
import { SchemaLanguage } from '../../src/constraint/schema/schema-language.ts';
import { SchemaRefusal } from '../../src/constraint/schema/refusal.ts';
import { allowsToken } from '../../src/sampling/token-mask.ts';

/** Every byte, and tokens that lead across the parts of a value. */
const TOKENS: readonly Buffer[] = [
  ...Array.from({ length: 256 }, (_, byte) => Buffer.of(byte)),
  ...[
    '","',
    '":',
    '{"',
    '"}',
    'aa',
    '12',
    'true',
    'null',
    '],',
    '[]',
    '{}',
    '", "',
    '":"',
    '":1,"',
    'é',
    '😀',
    '\\u00',
    '\\n',
    'a"',
    ' "',
    '\n  ',
    'ab":{"a":',
    '"a":1,"a":',
    '0.5',
    '.5',
    'e1',
  ].map((text) => Buffer.from(text)),
];

const vocabulary = {
  vocabularySize: TOKENS.length,
  tokenBytes: (id: number): Uint8Array => TOKENS[id] ?? Buffer.alloc(0),
  isSpecial: (): boolean => false,
};
const masks = new TokenMasks(new TokenTrie(vocabulary), TOKENS.length);

export const tokenIds: readonly number[] = [...TOKENS.keys()];

/** A compiled schema, tried with texts. */
export class SchemaProbe {
  readonly language: SchemaLanguage;
  readonly #grammar: GrammarMasks;

  /** @throws SchemaRefusal */
  constructor(schema: unknown) {
    this.language = new SchemaLanguage(JSON.parse(JSON.stringify(schema)));
    this.#grammar = new GrammarMasks(new Grammar(this.language), masks);
  }

  /** Whether any value can be written. */
  get isProductive(): boolean {
    return this.language.isProductive(this.language.root);
  }

  start(): BodyMatcher {
    return new BodyMatcher(this.#grammar);
  }

  /** Whether a text is a whole body, token for byte. */
  takes(text: string): boolean {
    const body = this.start();
    for (const byte of Buffer.from(text)) if (!body.accept(Uint8Array.of(byte))) return false;
    return body.mayEnd;
  }
}

export function tokenBytes(id: number): Uint8Array {
  return vocabulary.tokenBytes(id);
}

export function allowedTokens(body: BodyMatcher): number[] {
  const mask = body.mask();
  return tokenIds.filter((id) => allowsToken(mask, id));
}

/** Why a schema is refused; null where it is not. */
export function refusalOf(schema: unknown): SchemaRefusal | null {
  try {
    const probe = new SchemaProbe(schema);
    return probe.isProductive ? null : new SchemaRefusal('schema', '', 'which no value fits');
  } catch (error) {
    if (error instanceof SchemaRefusal) return error;
    throw error;
  }
}
