import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { Tiktoken } from 'tiktoken/lite';
import { DisposedError, InvalidTokenizerError, TooManyTokensError, UnknownTokenError } from '../../src/errors.ts';
import { bytesToByteLevel } from '../../src/tokenizer/byte-level.ts';
import { BytePairMerger } from '../../src/tokenizer/byte-pair-merging.ts';
import { isJsonObject } from '../../src/files/json-text.ts';
import { readJsonFile } from '../../src/files/json-file.ts';
import { embeddedCheckpointPath } from '../../src/snapshot.ts';
import { mayHaveRun, O200K_PATTERN, translateSplitPattern } from '../../src/tokenizer/split-pattern.ts';
import { TokenTable } from '../../src/tokenizer/token-table.ts';
import { TokenStreamDecoder } from '../../src/tokenizer/token-stream-decoder.ts';
import { parseTokenizerFile } from '../../src/tokenizer/tokenizer-file.ts';
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.ts';
import { referencePrompts } from '../fixtures/reference.ts';
import { syntheticTokenizer } from '../fixtures/synthetic-checkpoint.ts';

const tokenizerPath = join(embeddedCheckpointPath(), 'tokenizer.json');

/** A text of words, digits, spaces, marks, emoji and whatever else Unicode has. */
const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.string({ unit: 'grapheme', maxLength: 60 }),
  fc
    .array(fc.constantFrom('the', ' lighthouse', 'ing', "'s", '  ', '\r\n', '1234', 'É', '👩‍👩‍👧', '<|', '|>'), {
      maxLength: 20,
    })
    .map((parts) => parts.join('')),
);

describe('tokenizer of the embedded checkpoint', () => {
  let tokenizer: Tokenizer;
  before(() => {
    tokenizer = createTokenizer(readJsonFile(tokenizerPath), tokenizerPath);
  });
  after(() => tokenizer.dispose());

  it('encodes the reference prompts to the reference ids, and back', () => {
    const prompts = referencePrompts();
    assert.equal(prompts.length, 7);
    for (const { text, ids, greedy, greedy_text: greedyText } of prompts) {
      assert.deepEqual(tokenizer.encodeWithSpecialTokens(text), ids);
      assert.equal(tokenizer.decode(ids), text);
      assert.equal(tokenizer.decode(greedy), greedyText);
    }
  });

  it('never makes a special token of user text', () => {
    assert.equal(tokenizer.specialTokens.size, 16);
    for (const [special, id] of tokenizer.specialTokens) {
      assert.ok(tokenizer.isSpecial(id));
      assert.deepEqual(tokenizer.encodeWithSpecialTokens(special), [id]);
      for (const text of [special, `a ${special}b`, special.repeat(3), `<|start|>${special}`]) {
        const ids = tokenizer.encode(text);
        assert.ok(
          ids.every((token) => !tokenizer.isSpecial(token)),
          text,
        );
        assert.equal(tokenizer.decode(ids), text);
      }
    }
  });

  it('gives every text back', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const expected = text.toWellFormed();
        assert.equal(tokenizer.decode(tokenizer.encode(text)), expected);
        assert.equal(tokenizer.decode(tokenizer.encodeWithSpecialTokens(text)), expected);
      }),
      { numRuns: 400 },
    );
  });

  it('merges as the list of merges says', () => {
    const byMerges = mergeListEncoder();
    fc.assert(
      fc.property(fc.stringMatching(/^ ?[a-z]{1,24}$/), (piece) => {
        assert.deepEqual(tokenizer.encode(piece), byMerges(piece));
      }),
      { numRuns: 1000 },
    );
  });

  it('turns lone surrogates into U+FFFD and nothing into nothing', () => {
    assert.equal(tokenizer.decode(tokenizer.encode('a\ud800b')), 'a\ufffdb');
    assert.deepEqual(tokenizer.encode(''), []);
    assert.equal(tokenizer.decode([]), '');
  });

  it('encodes every text as tiktoken does, long runs too', () => {
    const { merger, pattern, tiktoken } = longTextEncoder();
    using classes = new CharacterClasses();
    const runs = fc
      .tuple(
        anyText,
        fc.constantFrom('a', 'É', '漢', '\n', ' ', '\r\n', '!', '--', 'ſ', '\u0085', '\ufeff', 'ing'),
        fc.nat(40),
      )
      .map(([text, unit, count]) => text + unit.repeat(count));
    const anyRuns = fc.array(fc.oneof(anyText, runs), { maxLength: 6 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(anyRuns, (text) => {
        fc.pre(classes.areAlike(text));
        const ids: number[] = [];
        for (const [piece] of text.toWellFormed().matchAll(pattern)) merger.encode(piece, ids);
        assert.deepEqual(ids, [...tiktoken.encode_ordinary(text)]);
        assert.deepEqual(tokenizer.encode(text), ids);
      }),
      { numRuns: 1000 },
    );
    for (const contraction of ["it's", "IT'S", "it'ſ", "we'Ll", "they'RE x", "I'M", "you've", "can't", "he'd"]) {
      const ids: number[] = [];
      for (const [piece] of contraction.matchAll(pattern)) merger.encode(piece, ids);
      assert.deepEqual(ids, [...tiktoken.encode_ordinary(contraction)], contraction);
      assert.deepEqual(tokenizer.encode(contraction), ids, contraction);
    }
    tiktoken.free();
  });

  it('encodes runs that a quadratic encoder would take hours for, special tokens among them', () => {
    const start = tokenizer.specialTokens.get('<|start|>') ?? -1;
    for (const unit of ['a', '\n', ' ', 'the', '漢', '!?', 'É', '\r\n']) {
      const run = unit.repeat(60_000);
      const text = `What is ${run} a ${run}ship?`;
      const ids = tokenizer.encode(text);
      assert.equal(tokenizer.decode(ids), text);
      assert.deepEqual(tokenizer.encodeWithSpecialTokens(`${text}<|start|>${text}`), [...ids, start, ...ids]);
      assert.equal(tokenizer.encode(`${text}<|start|>`).includes(start), false);
    }
  });

  it('gives the same ids under a limit that they keep, and none where there are more', () => {
    const withSpecials = fc
      .array(fc.oneof(anyText, fc.constantFrom('<|start|>', '<|end|>', 'a'.repeat(1200))), { maxLength: 4 })
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(withSpecials, fc.nat(60), (text, most) => {
        for (const encode of ['encode', 'encodeWithSpecialTokens'] as const) {
          const ids = tokenizer[encode](text);
          assert.deepEqual(tokenizer[encode](text, ids.length), ids);
          assert.deepEqual(tokenizer[encode](text, ids.length + most), ids);
          if (ids.length === 0) continue;
          const tooFew = Math.max(0, ids.length - 1 - most);
          assert.throws(
            () => tokenizer[encode](text, tooFew),
            (error) => error instanceof TooManyTokensError && error.most === tooFew,
          );
        }
      }),
      { numRuns: 500 },
    );
  });

  it('keeps a byte order mark', () => {
    assert.equal(tokenizer.decode(tokenizer.encode('\ufeffa')), '\ufeffa');
  });

  it('gives the bytes of every token, and refuses ids that are none', () => {
    for (let id = 0; id < tokenizer.vocabularySize; id++) assert.ok(tokenizer.tokenBytes(id).length > 0);
    for (const id of [-1, 1.5, NaN, tokenizer.vocabularySize, 2 ** 40]) {
      assert.throws(() => tokenizer.tokenBytes(id), UnknownTokenError);
      assert.throws(() => tokenizer.decode([id]), UnknownTokenError);
      assert.equal(tokenizer.isSpecial(id), false);
    }
  });

  it('hands out copies of the bytes', () => {
    tokenizer.tokenBytes(100).fill(0);
    assert.notEqual(tokenizer.tokenBytes(100)[0], 0);
  });

  it('decodes a stream piece by piece to the same text', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(tokenizer.vocabularySize - 1), { maxLength: 40 }), (ids) => {
        const decoder = new TokenStreamDecoder(tokenizer);
        const pieces = ids.map((id) => decoder.push(id));
        assert.equal(pieces.join('') + decoder.finish(), tokenizer.decode(ids));
      }),
    );
  });

  it('holds back a character until its last token', () => {
    const ids = tokenizer.encode('🦊');
    assert.ok(ids.length > 1);
    const decoder = new TokenStreamDecoder(tokenizer);
    const pieces = ids.map((id) => decoder.push(id));
    assert.deepEqual(pieces, [...ids.slice(1).map(() => ''), '🦊']);
    assert.equal(decoder.finish(), '');
    decoder.push(ids[0] ?? 0);
    assert.equal(decoder.finish(), '\ufffd');
    assert.equal(ids.map((id) => decoder.push(id)).join(''), '🦊');
  });
});

/** A change that makes a tokenizer.json unusable. */
type Break = (json: Record<string, unknown>) => void;

const vocabulary =
  (change: Break): Break =>
  (json) =>
    edit(json, 'model', (model) => edit(model, 'vocab', change));

const model =
  (field: string, value: unknown): Break =>
  (json) =>
    edit(json, 'model', (object) => (object[field] = value));

function pattern(regex: string): Break {
  return (json) =>
    edit(json, 'pre_tokenizer', (preTokenizer) => {
      preTokenizer['pretokenizers'] = [
        { type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated' },
        { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
      ];
    });
}

describe('split patterns', () => {
  it('are translated, or refused where JavaScript would read them otherwise', () => {
    assert.equal(translateSplitPattern(String.raw`\s+|\S`)?.source, String.raw`\p{White_Space}+|\P{White_Space}`);
    assert.equal(translateSplitPattern("(?i:'s|k)?a")?.source, "(?:'[sS\u017f]|[kK\u212a])?a");
    for (const pattern of [
      'a++',
      'a?+',
      '(?>a)',
      '(?x)a',
      '(?i)a',
      String.raw`\Aa`,
      '[a&&b]',
      '[[:alpha:]]',
      '(?i:[a])',
      '(?i:(a))',
    ]) {
      assert.equal(translateSplitPattern(pattern), null, pattern);
    }
  });

  it('are needed where one kind of characters goes on', () => {
    assert.equal(mayHaveRun('a'.repeat(9), 10), false);
    assert.equal(mayHaveRun(`-${'a'.repeat(10)}`, 10), true);
    assert.equal(mayHaveRun('aaaa aaaa aaaa', 10), false);
    assert.equal(mayHaveRun('aaaaéééaaa', 10), true);
    assert.equal(mayHaveRun('1234567890', 10), true);
  });
});

describe('a tokenizer', () => {
  it('refuses everything after dispose()', () => {
    const tokenizer = createTokenizer(syntheticTokenizer(), 'tokenizer.json');
    tokenizer.dispose();
    tokenizer.dispose();
    for (const use of [
      () => tokenizer.encode('a'),
      () => tokenizer.encodeWithSpecialTokens('a'),
      () => tokenizer.decode([1]),
      () => tokenizer.tokenBytes(1),
      () => tokenizer.isSpecial(1),
    ]) {
      assert.throws(use, DisposedError);
    }
  });

  it('reads merges written as texts, and special tokens listed in the vocabulary too', () => {
    const json = syntheticTokenizer();
    edit(json, 'model', (model) => {
      model['merges'] = ['a b', 'c d', 'ab cd'];
      edit(model, 'vocab', (vocab) => {
        vocab['<|end|>'] = 265;
      });
    });
    const tokenizer = createTokenizer(json, 'tokenizer.json');
    assert.deepEqual(tokenizer.encode('abcdab'), [258, 256]);
    assert.deepEqual(tokenizer.encodeWithSpecialTokens('ab<|end|>'), [256, 265]);
    tokenizer.dispose();
  });

  it('takes ids that the file leaves out for reserved special tokens, wherever they are', () => {
    const json = syntheticTokenizer();
    const { vocab } = json['model'] as { vocab: Record<string, number> };
    const moved = vocab['z'] ?? -1;
    vocab['z'] = 300;
    json['added_tokens'] = [{ id: 303, content: '<|x|>' }];
    const used = new Set([...Object.values(vocab), 303]);
    for (const pattern of [null, '.|\\n']) {
      const split = (json['pre_tokenizer'] as { pretokenizers: { pattern: { Regex: string } }[] }).pretokenizers[0];
      if (pattern !== null && split !== undefined) split.pattern.Regex = pattern;
      const tokenizer = createTokenizer(json, 'tokenizer.json');
      assert.equal(tokenizer.vocabularySize, 304);
      for (let id = 0; id < 304; id += 1) {
        assert.equal(tokenizer.isSpecial(id), id === 303 || !used.has(id), `${id}`);
        if (used.has(id)) continue;
        const name = `<|reserved_${id}|>`;
        assert.equal(tokenizer.decode([id]), name);
        assert.deepEqual(tokenizer.encodeWithSpecialTokens(name), [id]);
        // Text is never one of them.
        assert.ok(!tokenizer.encode(name).includes(id));
      }
      assert.ok(!used.has(moved));
      assert.deepEqual(tokenizer.encode('z'), [300]);
      assert.equal(tokenizer.decode(tokenizer.encode('a zebra')), 'a zebra');
      tokenizer.dispose();
    }
  });

  it('takes a merge whose part has a higher id than its result', () => {
    const json = syntheticTokenizer();
    edit(json, 'model', (object) => {
      object['merges'] = ['a b', 'abc d', 'ab c'];
      edit(object, 'vocab', (vocab) => {
        delete vocab['cd'];
        vocab['abcd'] = 257;
        vocab['abc'] = 258;
      });
    });
    const tokenizer = createTokenizer(json, 'tokenizer.json');
    assert.deepEqual(tokenizer.encode('abcd'), [257]);
    assert.deepEqual(tokenizer.encode('abc'), [258]);
    tokenizer.dispose();
  });

  const broken: readonly [string, string, Break][] = [
    ['no model', 'model', (json) => delete json['model']],
    ['another kind of model', 'model.type', model('type', 'Unigram')],
    ['a normaliser', 'normalizer', (json) => (json['normalizer'] = { type: 'NFC' })],
    ['dropout', 'model.dropout', model('dropout', 0.1)],
    ['no vocabulary', 'model.vocab', model('vocab', [])],
    ['an id that is no number', 'model.vocab', vocabulary((vocab) => (vocab['a'] = '97'))],
    ['a negative id', 'model.vocab', vocabulary((vocab) => (vocab['a'] = -1))],
    ['a huge id', 'model.vocab', vocabulary((vocab) => (vocab['z'] = 2 ** 30))],
    ['an id given twice', 'model.vocab', vocabulary((vocab) => (vocab['a'] = 98))],
    ['a missing byte', 'model.vocab', vocabulary((vocab) => delete vocab['z'])],
    ['an empty token', 'model.vocab', vocabulary((vocab) => (vocab[''] = 268))],
    ['a token that no merge makes', 'model.vocab', vocabulary((vocab) => (vocab['zz'] = 268))],
    ['a character outside the alphabet', 'model.vocab', vocabulary((vocab) => (vocab['☃'] = 268))],
    ['no merges', 'model.merges', model('merges', null)],
    ['a merge of one', 'model.merges[0]', model('merges', [['a']])],
    ['a merge of unknown tokens', 'model.merges[0]', model('merges', [['a', 'c']])],
    [
      'merges out of order',
      'model.merges[1]',
      model('merges', [
        ['c', 'd'],
        ['a', 'b'],
        ['ab', 'cd'],
      ]),
    ],
    ['a special token without id', 'added_tokens[0].id', (json) => (json['added_tokens'] = [{ content: '<|x|>' }])],
    ['a special token without text', 'added_tokens[0].content', (json) => (json['added_tokens'] = [{ id: 259 }])],
    [
      'stripping',
      'added_tokens[0].lstrip',
      (json) => (json['added_tokens'] = [{ id: 259, content: 'x!', lstrip: true }]),
    ],
    [
      'more ids without a token than tokens',
      'model.vocab',
      (json) => (json['added_tokens'] = [{ id: 600, content: 'x!' }]),
    ],
    [
      'the name of an id without a token for another',
      'added_tokens',
      (json) => (json['added_tokens'] = [{ id: 400, content: '<|reserved_399|>' }]),
    ],
    ['no split', 'pre_tokenizer', (json) => delete json['pre_tokenizer']],
    ['a pattern that is no regular expression', 'pre_tokenizer.Split.pattern', pattern('(')],
    ['an empty pattern', 'pre_tokenizer.Split.pattern', pattern('')],
  ];
  for (const [what, field, change] of broken) {
    it(`refuses ${what}`, () => {
      const json = syntheticTokenizer();
      change(json);
      assert.throws(
        () => createTokenizer(json, 'tokenizer.json'),
        (error: unknown) => {
          assert.ok(error instanceof InvalidTokenizerError, String(error));
          assert.equal(error.field, field);
          return true;
        },
      );
    });
  }
  it('makes the encoder with the first text where that is asked for', () => {
    const json = syntheticTokenizer();
    pattern('(')(json);
    const tokenizer = createTokenizer(json, 'tokenizer.json', { encoder: 'when-needed' });
    assert.equal(tokenizer.decode([97, 98]), String.fromCharCode(97, 98));
    assert.throws(() => tokenizer.encode('a'), { code: 'INVALID_TOKENIZER', field: 'pre_tokenizer.Split.pattern' });
    tokenizer.dispose();
    assert.throws(() => tokenizer.encode('a'), DisposedError);
    assert.throws(() => tokenizer.decode([97]), DisposedError);
  });

  it('encodes with another pattern as with that of GPT-OSS where both cut the text alike', () => {
    const json = syntheticTokenizer();
    const plain = createTokenizer(json, 'tokenizer.json');
    pattern(O200K_PATTERN)(json);
    const own = createTokenizer(json, 'tokenizer.json');
    for (const text of ['', 'a', 'abc', 'é', '漢字', 'a\ud800b'])
      assert.deepEqual(own.encode(text), plain.encode(text), text);
    assert.deepEqual(own.encode('<|start|>').length, '<|start|>'.length);
    plain.dispose();
    own.dispose();
  });

  it('gives a typed error for a pattern that backtracks without end', () => {
    const json = syntheticTokenizer();
    pattern('(?=(a+)+$)b|(a|a)*(?!a)c')(json);
    const tokenizer = createTokenizer(json, 'tokenizer.json');
    assert.throws(() => tokenizer.encode('a'.repeat(40)), InvalidTokenizerError);
    tokenizer.dispose();
  });

  it('refuses what is no object', () => {
    for (const json of [null, 7, 'x', []]) assert.throws(() => createTokenizer(json, 'x'), InvalidTokenizerError);
  });
});

function edit(json: Record<string, unknown>, field: string, change: (object: Record<string, unknown>) => void): void {
  const object = json[field];
  assert.ok(isJsonObject(object));
  const copy = { ...object };
  change(copy);
  json[field] = copy;
}

/** Where JavaScript and tiktoken have the same opinion of characters: either may know a newer Unicode than the other. */
class CharacterClasses implements Disposable {
  readonly #known = new Map<string, boolean>();
  readonly #classes = ['Lu', 'Ll', 'Lt', 'Lm', 'Lo', 'M', 'N', 'White_Space'].map((name) => {
    const ranks = Array.from({ length: 256 }, (_, byte) => `${Buffer.from([byte]).toString('base64')} ${byte}`);
    const pattern = String.raw`\p{${name}}`;
    // What a pattern does not match has no tokens.
    return { javaScript: new RegExp(pattern, 'u'), tiktoken: new Tiktoken(ranks.join('\n'), {}, pattern) };
  });

  areAlike(text: string): boolean {
    return Array.from(text.toWellFormed()).every((character) => {
      let known = this.#known.get(character);
      if (known === undefined) {
        known = this.#classes.every(
          ({ javaScript, tiktoken }) => javaScript.test(character) === tiktoken.encode_ordinary(character).length > 0,
        );
        this.#known.set(character, known);
      }
      return known;
    });
  }

  [Symbol.dispose](): void {
    for (const { tiktoken } of this.#classes) tiktoken.free();
  }
}

/** The parts of our own encoder, and tiktoken's, for the embedded checkpoint. */
function longTextEncoder(): { merger: BytePairMerger; pattern: RegExp; tiktoken: Tiktoken } {
  const { tokens, specialTokens, pattern } = parseTokenizerFile(readJsonFile(tokenizerPath), tokenizerPath);
  const special = new Set(specialTokens.values());
  const translated = translateSplitPattern(pattern);
  assert.ok(translated !== null);
  const ranks = tokens.flatMap((bytes, id) =>
    special.has(id) ? [] : `${Buffer.from(bytes).toString('base64')} ${id}`,
  );
  return {
    merger: new BytePairMerger(TokenTable.of(tokens, special)),
    pattern: translated,
    tiktoken: new Tiktoken(ranks.join('\n'), Object.fromEntries(specialTokens), pattern),
  };
}

/** BPE straight from tokenizer.json: apply the earliest merge of the list that fits, leftmost first, until none does. */
function mergeListEncoder(): (piece: string) => number[] {
  const json = JSON.parse(readFileSync(tokenizerPath, 'utf8')) as {
    model: { vocab: Record<string, number>; merges: [string, string][] };
  };
  const priority = new Map(json.model.merges.map((pair, index) => [pair.join(' '), index]));
  return (piece) => {
    let parts = bytesToByteLevel(Buffer.from(piece)).split('');
    for (;;) {
      const ranks = parts.slice(1).map((right, i) => priority.get(`${parts[i]} ${right}`) ?? Infinity);
      const best = Math.min(...ranks);
      if (best === Infinity) return parts.map((part) => json.model.vocab[part] ?? -1);
      const at = ranks.indexOf(best);
      parts = [...parts.slice(0, at), `${parts[at]}${parts[at + 1]}`, ...parts.slice(at + 2)];
    }
  };
}
