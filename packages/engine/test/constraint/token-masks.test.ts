import { JsonGrammars } from '../../src/constraint/grammar/json-grammar.ts';
import { checkMasks } from './check-masks.ts';

/** Every byte, words, and tokens that are longer than what is looked at together, or begin and end inside of a character. */
const WORDS = ['ab', 'abc', 'é', 'éa', 'aé', '😀', 'a😀', 'a b', 'a1', 'a"', '"}', '":"', '","', '"ab', '"a":'];
const ESCAPES = ['\\n', 'a\\', '\\u0061'];
const LONG = [31, 32, 33, 40].map((length) => 'a'.repeat(length));
const LONGER = ['é'.repeat(32), `${'a'.repeat(31)}"`, ' '.repeat(34)];
const VOCABULARY: readonly Buffer[] = [
  Array.from({ length: 256 }, (_, byte) => Buffer.of(byte)),
  [WORDS, ESCAPES, LONG, LONGER].flat().map((text) => Buffer.from(text)),
].flat();
const PARTIAL = [
  Buffer.from([0x61, 0xc3]),
  Buffer.from([0xa9, 0x61]),
  Buffer.from([0x80, 0x61]),
  Buffer.from([0x61, 0xf0]),
];

describe('token masks', () => {
  it('let through just the tokens that a grammar takes, whatever its strings are', async () => {
    const vocabulary = [...VOCABULARY, ...PARTIAL];
    const grammars = await JsonGrammars.create({
      vocabularySize: vocabulary.length,
      tokenBytes: (id) => vocabulary[id] ?? new Uint8Array(),
      isSpecial: () => false,
    });
    const letters = 'a'.repeat(8);
    for (const [schema, value] of [
      [{ type: 'string', pattern: '^[\\p{L} ]{3,80}$' }, `aé${letters} b`],
      [{ type: 'string', pattern: '^\\p{L}{1,34}\\d$' }, `${letters}1`],
      [{ type: 'string', pattern: '^[^\\p{L}]*$' }, '1 \u{1f600}'],
      [{ type: 'string', maxLength: 36 }, `é${letters}\n`],
      [{ type: 'string', minLength: 30, maxLength: 33 }, 'ab'.repeat(16)],
      [{ type: 'object' }, { a: { é: [1, 'a'] }, ab: 'x' }],
      [
        { type: 'object', patternProperties: { '^[a-zé]{1,34}$': { type: 'string' } } },
        { ab: 'ab', é: '' },
      ],
      [
        {
          type: 'object',
          propertyNames: { pattern: '^[a-u]?$' },
          minProperties: 2,
          additionalProperties: { const: 1 },
        },
        { a: 1, b: 1, '': 1 },
      ],
    ] as const) {
      await checkMasks(grammars, vocabulary, JSON.stringify(schema), JSON.stringify(value));
    }
  });
});
