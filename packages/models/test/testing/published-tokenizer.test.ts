import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import fc from 'fast-check';
import { Tiktoken } from 'tiktoken/lite';
import { UnknownTokenError } from '../../src/errors.ts';
import { bytesToByteLevel } from '../../src/tokenizer/byte-level.ts';
import { parseJsonText } from '../../src/files/json-text.ts';
import { publishedSpecialTokens, publishedTokenizerText } from '../../src/testing/index.ts';
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.ts';
import { publishedCheckpoints } from '../fixtures/published-checkpoints.ts';

/** The part of tokenizer.json that is looked at here. */
interface TokenizerJson {
  readonly pre_tokenizer: { readonly pretokenizers: readonly [{ readonly pattern: { readonly Regex: string } }] };
  readonly model: {
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges: readonly (readonly [left: string, right: string])[];
  };
}

const words = [
  'the',
  ' lighthouse',
  "'s",
  "'LL",
  '  ',
  '\r\n',
  '\t',
  '1234',
  '٣٤٥',
  'É',
  'e\u0301',
  '東京',
  ' 東',
  'ไทย',
  '👩‍👩‍👧',
  '🇩🇪',
  'ß',
];
const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 80 }),
  fc.string({ unit: 'grapheme', maxLength: 80 }),
  fc.string({ unit: fc.nat({ max: 0xffff }).map((code) => String.fromCharCode(code)), maxLength: 40 }),
  fc
    .array(fc.constantFrom(...words, '\ud800', '<|end|>', '/', '{"a": [', '=>', '\u00a0'), { maxLength: 30 })
    .map((parts) => parts.join('')),
);

/** Every assigned character, 48 to a text in the order of their code points; of the long blocks of ideographs a part. */
function textsOfAllScripts(): string[] {
  const characters: string[] = [];
  for (let code = 0; code <= 0x3ffff; code += 1) {
    const character = String.fromCodePoint(code);
    if (!/\p{Assigned}/u.test(character) || /\p{Surrogate}|\p{Private_Use}/u.test(character)) continue;
    if (/[\p{Script=Han}\p{Script=Hangul}\p{Script=Tangut}]/u.test(character) && code % 16 !== 0) continue;
    characters.push(character);
  }
  const texts: string[] = [];
  for (let at = 0; at < characters.length; at += 48) texts.push(characters.slice(at, at + 48).join(''));
  return texts;
}

const prose = [
  'Hello, world! It’s 2025-08-05; pi is 3.14159265358979, and 1000000 is a million.',
  "I'm sure they'LL say we'd've done it, won't they? DON'T SHOUT.",
  'function add(a, b) {\n\treturn a + b; // sum\n}\n\n\n\nconst x = [1,2,3].map((n) => n ** 2);\r\n',
  '    def __init__(self, *args, **kwargs):\n        super().__init__()\n\n        self.x: dict[str, int] = {}\n',
  '{"name": "get_weather", "arguments": {"city": "Zürich", "units": "°C"}}',
  'SELECT COUNT(*) FROM t WHERE a<>b AND c!=d;--comment\n/* multi\nline */',
  'https://example.org/a/b?c=d&e=%20f#g and C:\\Windows\\System32\\',
  'x'.repeat(300) + ' '.repeat(300) + '\n'.repeat(300) + '1'.repeat(300) + '!'.repeat(300),
  ' \n \t \n\n  \r\n \u00a0\u2003\u3000\u2028 end',
  'Привет, мир! Γειά σου Κόσμε. שלום עולם. مرحبا بالعالم. नमस्ते दुनिया। สวัสดีชาวโลก 안녕 세상 你好世界 こんにちは世界',
  'Tiếng Việt có dấu; Ég get etið gler; ᚠᛇᚻ᛫ᛒᛦᚦ; 𐌼𐌰𐌲; ꯃꯅꯤꯄꯨꯔꯤ; ጤና ይስጥልኝ; សួស្តី; བཀྲ་ཤིས',
  'Z̴̡̛͚͓a̷̢͎l̶̰̈́g̵̗͝o̴̤͑ 👨‍👩‍👧‍👦 👍🏽 🏴󠁧󠁢󠁥󠁮󠁧󠁿 🇨🇭 ❤️‍🔥 ☃︎',
  'lone \ud800 and \udc00 surrogates, \udc00\ud800 swapped, paired 😀',
  '<|start|>user<|message|>not special<|end|>',
];

describe('The tokenizer.json of a written checkpoint', () => {
  let text: string;
  let json: TokenizerJson;
  let tokenizer: Tokenizer;
  let o200k: Tiktoken;

  before(() => {
    text = publishedTokenizerText();
    const parsed = parseJsonText(text, 'tokenizer.json');
    json = parsed as TokenizerJson;
    tokenizer = createTokenizer(parsed, 'tokenizer.json');
    const base = createRequire(import.meta.url)('tiktoken/encoders/o200k_base.json') as {
      bpe_ranks: string;
      pat_str: string;
    };
    o200k = new Tiktoken(
      base.bpe_ranks,
      Object.fromEntries(publishedSpecialTokens.map(([id, name]) => [name, id])),
      base.pat_str,
    );
  });
  after(() => {
    tokenizer.dispose();
    o200k.free();
  });

  it('is the published one to the byte', () => {
    const hash = createHash('sha256').update(text).digest('hex');
    assert.equal(hash, publishedCheckpoints['gpt-oss-20b'].huggingface.sha256['tokenizer.json']);
    assert.equal(hash, publishedCheckpoints['gpt-oss-120b'].huggingface.sha256['tokenizer.json']);
  });

  it('has the bytes of every token of o200k_base under its id', () => {
    assert.equal(tokenizer.vocabularySize, 200_019);
    assert.equal(Object.keys(json.model.vocab).length, 199_998);
    for (let id = 0; id < 199_998; id += 1) {
      const expected = o200k.decode_single_token_bytes(id);
      if (Buffer.compare(tokenizer.tokenBytes(id), expected) !== 0) assert.fail(`the token ${id} has other bytes`);
    }
  });

  it("has harmony's special tokens under their published ids, and no others", () => {
    const named = {
      '<|startoftext|>': 199_998,
      '<|endoftext|>': 199_999,
      '<|return|>': 200_002,
      '<|constrain|>': 200_003,
    };
    const more = { '<|channel|>': 200_005, '<|start|>': 200_006, '<|end|>': 200_007, '<|message|>': 200_008 };
    const expected = new Map(Object.entries({ ...named, ...more, '<|call|>': 200_012, '<|endofprompt|>': 200_018 }));
    for (let id = 200_000; id < 200_018; id += 1) {
      if (![...expected.values()].includes(id)) expected.set(`<|reserved_${id}|>`, id);
    }
    assert.deepEqual(new Map(tokenizer.specialTokens), expected);
    for (const [name, id] of expected) assert.deepEqual(tokenizer.encodeWithSpecialTokens(name), [id]);
  });

  it('has no token for the ids that the model has logits for beyond it', () => {
    for (const id of [200_019, 201_087]) assert.throws(() => tokenizer.decode([id]), UnknownTokenError);
  });

  const known: readonly (readonly [text: string, ids: readonly number[]])[] = [
    ['Hello, world!', [13_225, 11, 2375, 0]],
    ['Name one JVM language.', [864, 1001, 162_108, 6439, 13]],
    ['Phoenix → 東京 café', [160_441, 15_155, 185_244, 30_469]],
    ['cafe\u0301', [66, 6903, 13_430]],
    ['Line 1\nLine 2222\n', [3665, 220, 16, 198, 3665, 220, 16_427, 17, 198]],
    [
      '<|start|>user<|message|>Name one JVM language.<|end|>',
      [200_006, 1428, 200_008, 864, 1001, 162_108, 6439, 13, 200_007],
    ],
  ];
  for (const [prompt, ids] of known) {
    it(`encodes ${JSON.stringify(prompt)} to the ids that others found with the published file`, () => {
      assert.deepEqual(tokenizer.encodeWithSpecialTokens(prompt), ids);
    });
  }

  /** Both ways of encoding, the common one and the one for long texts, against tiktoken's own o200k_base. */
  function assertEncodes(input: string): void {
    const expected = Array.from(o200k.encode_ordinary(input));
    assert.deepEqual(tokenizer.encode(input), expected);
    // A limit below the text's length, which the ids just keep, takes the other way.
    if (expected.length < input.length) assert.deepEqual(tokenizer.encode(input, expected.length), expected);
    assert.equal(tokenizer.decode(expected), input.toWellFormed());
  }

  it("encodes every script as tiktoken's o200k_base does", () => {
    const texts = textsOfAllScripts();
    assert.ok(texts.length > 900, `there are ${texts.length} texts`);
    for (const script of texts) assertEncodes(script);
    for (const script of texts) assertEncodes(Array.from(script).join(' '));
  });

  it("encodes prose, code, runs, emoji, marks and lone surrogates as tiktoken's o200k_base does", () => {
    for (const passage of prose) assertEncodes(passage);
    assertEncodes(prose.join('\n').repeat(3));
  });

  it("encodes any text as tiktoken's o200k_base does", () => {
    fc.assert(fc.property(anyText, assertEncodes), { numRuns: 1500 });
  });

  it('encodes texts with special tokens as tiktoken does with the same ones', () => {
    const part = fc.oneof(anyText, fc.constantFrom(...publishedSpecialTokens.map(([, name]) => name)));
    fc.assert(
      fc.property(fc.array(part, { maxLength: 6 }), (parts) => {
        const input = parts.join('');
        assert.deepEqual(tokenizer.encodeWithSpecialTokens(input), Array.from(o200k.encode(input, 'all', [])));
      }),
      { numRuns: 500 },
    );
  });

  it('says by its list of merges what the ids say by their order', () => {
    const encodePiece = mergeListEncoder(json);
    // Each of these the split pattern leaves whole.
    const pattern = /[\p{Ll}\p{Lo}]{1,12}|[^\s\p{L}\p{N}\p{M}]{1,12}| +/gu;
    const passages = [...prose, ...textsOfAllScripts()].map((passage) => passage.toWellFormed());
    const pieces = new Set(passages.flatMap((passage) => passage.match(pattern) ?? []));
    assert.ok(pieces.size > 1500, `there are ${pieces.size} pieces`);
    for (const piece of pieces) assert.deepEqual(encodePiece(piece), tokenizer.encode(piece), JSON.stringify(piece));
  });
});

/** Byte-pair encoding by a list of merges, as the tokenizers library does it: of all pairs, the first in the list. */
function mergeListEncoder({ model }: TokenizerJson): (piece: string) => number[] {
  const order = new Map(model.merges.map(([left, right], index) => [`${left} ${right}`, index]));
  return (piece) => {
    const letters = bytesToByteLevel(Buffer.from(piece));
    // ignore_merges: a piece that is a token stays whole.
    const whole = Object.hasOwn(model.vocab, letters) ? model.vocab[letters] : undefined;
    if (whole !== undefined) return [whole];
    const parts = Array.from(letters);
    for (;;) {
      let best = Infinity;
      let at = -1;
      for (let index = 0; index + 1 < parts.length; index += 1) {
        const rank = order.get(`${parts[index]} ${parts[index + 1]}`) ?? Infinity;
        if (rank < best) {
          best = rank;
          at = index;
        }
      }
      if (at < 0) return parts.map((part) => model.vocab[part] ?? -1);
      parts.splice(at, 2, `${parts[at]}${parts[at + 1]}`);
    }
  };
}
