import { createRequire } from 'node:module';
import { bytesToByteLevel } from '../tokenizer/byte-level.ts';
import { publishedSpecialTokens } from './published-models.ts';

/** The part of tiktoken's o200k_base.json that is used here. */
interface TiktokenRanks {
  readonly pat_str: string;
  readonly bpe_ranks: string;
}

/** A merge by the ids of its parts. */
type Merge = readonly [left: number, right: number];

/**
 * The text of the tokenizer.json that gpt-oss-20b and gpt-oss-120b were published with, to the byte (27.9 MB): the
 * vocabulary and pattern of o200k_base, which tiktoken brings along, and harmony's special tokens. It is made once, in a
 * second, and kept.
 */
export function publishedTokenizerText(): string {
  knownText ??= makeText();
  return knownText;
}

let knownText: string | undefined;

function makeText(): string {
  // Required, not imported: the types of the package's modules are wrong for Node.
  const o200kBase = createRequire(import.meta.url)('tiktoken/encoders/o200k_base.json') as TiktokenRanks;
  const tokens = readRanks(o200kBase.bpe_ranks);
  const names = tokens.map((token) => JSON.stringify(bytesToByteLevel(Buffer.from(token, 'latin1'))));
  const vocabulary = names.map((name, id) => `      ${name}: ${id}`);
  const merges = findMerges(tokens).map(
    ([left, right]) => `      [\n        ${names[left]},\n        ${names[right]}\n      ]`,
  );
  // A vocabulary as an object would lose its order: JavaScript puts keys that look like numbers first.
  return JSON.stringify(describeTokenizer(o200kBase.pat_str), null, 2)
    .replace('"vocab": {}', () => `"vocab": {\n${vocabulary.join(',\n')}\n    }`)
    .replace('"merges": []', () => `"merges": [\n${merges.join(',\n')}\n    ]`);
}

/** All of tokenizer.json but the vocabulary and the merges. */
function describeTokenizer(pattern: string): unknown {
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const byteLevel = { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: publishedSpecialTokens.map(([id, content]) => ({ id, content, ...flags })),
    normalizer: null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false },
        { ...byteLevel, add_prefix_space: false, use_regex: false },
      ],
    },
    post_processor: { ...byteLevel, trim_offsets: false },
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: true,
      vocab: {},
      merges: [],
    },
  };
}

/** The bytes of each token as characters U+0000 to U+00FF, by id. Lines are `! first-id token token …` in base64. */
function readRanks(text: string): string[] {
  const tokens: string[] = [];
  for (const line of text.split('\n')) {
    const [, first, ...encoded] = line.split(' ');
    for (const [index, token] of encoded.entries()) {
      tokens[Number(first) + index] = Buffer.from(token, 'base64').toString('latin1');
    }
  }
  return tokens;
}

/**
 * Every pair of tokens that makes a third, in the order of the ids that they make and then of their own: what the
 * converter of transformers writes for a vocabulary of tiktoken's, which knows ranks and no merges.
 */
function findMerges(tokens: readonly string[]): Merge[] {
  const ids = new Map(tokens.map((token, id) => [token, id]));
  return tokens.flatMap((token) => {
    const merges: Merge[] = [];
    for (let at = 1; at < token.length; at += 1) {
      const left = ids.get(token.slice(0, at));
      const right = left === undefined ? undefined : ids.get(token.slice(at));
      if (left !== undefined && right !== undefined) merges.push([left, right]);
    }
    return merges.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  });
}
