import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { InvalidTokenizerError } from '../../src/errors.ts';
import { tokenizerDataOf } from '../../src/tokenizer/read-tokenizer.ts';
import { O200K_PATTERN } from '../../src/tokenizer/split-pattern.ts';
import { syntheticTokenizer } from '../fixtures/synthetic-checkpoint.ts';

type Json = Record<string, unknown>;
/** A way in which a tool writes a tokenizer.json. */
type Write = (json: Json) => void;

const field =
  (name: string, value: unknown): Write =>
  (json) => {
    json[name] = value;
  };

const ofModel =
  (name: string, value: unknown): Write =>
  (json) => {
    (json['model'] as Json)[name] = value;
  };

const ofTokens =
  (change: (token: Json, index: number) => Json[]): Write =>
  (json) => {
    json['added_tokens'] = (json['added_tokens'] as Json[]).flatMap(change);
  };

const BYTE_LEVEL = { type: 'ByteLevel', add_prefix_space: false, use_regex: false };

function split(changes: Json): Write {
  return field('pre_tokenizer', {
    type: 'Sequence',
    pretokenizers: [{ type: 'Split', pattern: { Regex: O200K_PATTERN }, behavior: 'Isolated', ...changes }, BYTE_LEVEL],
  });
}

/** The pre-tokenizer's own steps, in a sequence in a sequence beside an empty one. */
const nested: Write = (json) => {
  const plain = json['pre_tokenizer'];
  json['pre_tokenizer'] = { type: 'Sequence', pretokenizers: [{ type: 'Sequence', pretokenizers: [] }, plain] };
};

function written(...writes: readonly Write[]): Json {
  const json = syntheticTokenizer();
  for (const write of writes) write(json);
  return json;
}

const read = (json: Json): unknown => tokenizerDataOf(json, 'tokenizer.json');

/** Each changes no token. */
const NEUTRAL: readonly [string, Write][] = [
  ['no normaliser at all', (json) => delete json['normalizer']],
  ['a sequence of no normalisers', field('normalizer', { type: 'Sequence', normalizers: [] })],
  ['a normaliser that strips nothing', field('normalizer', { type: 'Strip', strip_left: false, strip_right: false })],
  ['a normaliser that prepends nothing', field('normalizer', { type: 'Prepend', prepend: '' })],
  [
    'normalisers of nothing in sequences',
    field('normalizer', {
      type: 'Sequence',
      normalizers: [
        { type: 'Replace', pattern: { String: ' ' }, content: ' ' },
        { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '' }] },
      ],
    }),
  ],
  ['no type of the model', (json) => delete (json['model'] as Json)['type']],
  ['a dropout of 0', ofModel('dropout', 0)],
  ['no dropout', ofModel('dropout', null)],
  ['an unknown token, which no byte is', ofModel('unk_token', '<|endoftext|>')],
  ['unknown tokens that are one', ofModel('fuse_unk', true)],
  ['bytes for characters that are unknown', ofModel('byte_fallback', true)],
  ['whole words first', ofModel('ignore_merges', true)],
  [
    'empty prefixes and suffixes',
    (json) => Object.assign(json['model'] as Json, { continuing_subword_prefix: '', end_of_word_suffix: '' }),
  ],
  ['truncation and padding', (json) => Object.assign(json, { truncation: { max_length: 8 }, padding: { length: 8 } })],
  [
    'another post-processor and decoder',
    (json) => Object.assign(json, { post_processor: { type: 'ByteLevel' }, decoder: { type: 'ByteLevel' } }),
  ],
  ['special tokens that are normalised, by nothing', ofTokens((token) => [{ ...token, normalized: true }])],
  ['special tokens that are listed twice', ofTokens((token) => [token, { ...token }])],
  ['special tokens out of order', (json) => (json['added_tokens'] = (json['added_tokens'] as Json[]).toReversed())],
  ['sequences in sequences', nested],
  ['fields that nobody reads', (json) => Object.assign(json, { version: '0.9', comment: '\u00e9' })],
];

/** Each would change tokens. */
const REFUSED: readonly [string, string, Write][] = [
  [
    'a normaliser among others',
    'normalizer',
    field('normalizer', { type: 'Sequence', normalizers: [{ type: 'NFC' }] }),
  ],
  ['a normaliser that is no object', 'normalizer', field('normalizer', { type: 'Sequence', normalizers: [null] })],
  ['a sequence without normalisers', 'normalizer', field('normalizer', { type: 'Sequence' })],
  ['a normaliser that strips', 'normalizer', field('normalizer', { type: 'Strip', strip_left: false })],
  ['a normaliser that prepends', 'normalizer', field('normalizer', { type: 'Prepend', prepend: ' ' })],
  [
    'a normaliser that replaces',
    'normalizer',
    field('normalizer', { type: 'Replace', pattern: { String: 'a' }, content: 'b' }),
  ],
  ['dropout', 'model.dropout', ofModel('dropout', 0.1)],
  ['a prefix of subwords', 'model.continuing_subword_prefix', ofModel('continuing_subword_prefix', '##')],
  ['a suffix of words', 'model.end_of_word_suffix', ofModel('end_of_word_suffix', '</w>')],
  ['special tokens that strip', 'added_tokens[0].rstrip', ofTokens((token) => [{ ...token, rstrip: true }])],
  [
    'special tokens of two ids',
    'added_tokens[9]',
    (json) => (json['added_tokens'] as Json[]).push({ id: 268, content: '<|end|>' }),
  ],
  ['a split that drops its matches', 'pre_tokenizer.Split', split({ behavior: 'Removed' })],
  ['a split that joins matches', 'pre_tokenizer.Split', split({ behavior: 'Contiguous', invert: true })],
  [
    'a split that drops what a pattern leaves out',
    'pre_tokenizer.Split',
    split({ behavior: 'Removed', invert: true, pattern: { Regex: 'a+' } }),
  ],
  [
    'a third step',
    'pre_tokenizer',
    field('pre_tokenizer', { type: 'Sequence', pretokenizers: [BYTE_LEVEL, BYTE_LEVEL, BYTE_LEVEL] }),
  ],
];

describe('settings of a tokenizer.json that change no token', () => {
  for (const [what, write] of NEUTRAL) {
    it(`read as if they were not there: ${what}`, () => {
      assert.deepEqual(read(written(write)), read(written()));
    });
  }

  it('read as if they were not there, all together in any order', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([...NEUTRAL.keys()]), (chosen) => {
        const writes = chosen.map((index) => (NEUTRAL[index] as [string, Write])[1]);
        assert.deepEqual(read(written(...writes)), read(written()));
      }),
      { numRuns: 60 },
    );
  });

  for (const changes of [{ invert: true }, { behavior: 'Removed', invert: true }]) {
    it(`isolate matches of GPT-OSS's pattern: ${JSON.stringify(changes)}`, () => {
      assert.deepEqual(read(written(split(changes))), read(written(split({}))));
    });
  }

  it("leave no character out of GPT-OSS's pattern", () => {
    const pattern = new RegExp(O200K_PATTERN.replaceAll('(?i:', '(?:'), 'gu');
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        assert.equal([...text.matchAll(pattern)].map(([piece]) => piece).join(''), text);
      }),
      { numRuns: 1000 },
    );
  });

  for (const [what, name, write] of REFUSED) {
    it(`do not hide those that do: ${what}`, () => {
      assert.throws(
        () => read(written(write)),
        (error: unknown) => {
          assert.ok(error instanceof InvalidTokenizerError, String(error));
          assert.equal(error.field, name);
          return true;
        },
      );
    });
  }

  it('may be nested deeper than calls can be', () => {
    for (const [name, list] of [
      ['normalizer', 'normalizers'],
      ['pre_tokenizer', 'pretokenizers'],
    ] as const) {
      let value: unknown = { type: 'Sequence', [list]: [] };
      for (let depth = 0; depth < 200_000; depth++) value = { type: 'Sequence', [list]: [value] };
      const json = written(field(name, value));
      if (name === 'normalizer') assert.deepEqual(read(json), read(written()));
      else assert.throws(() => read(json), { code: 'INVALID_TOKENIZER', field: 'pre_tokenizer' });
    }
  });
});
