import { bytesToByteLevel, byteLevelToBytes } from './byte-level.ts';
import { InvalidTokenizerError } from '../errors.ts';
import { isJsonObject, type JsonObject } from '../files/json-text.ts';
import { isNeutralNormalizer, isolatesMatches, stepsOf } from './neutral-settings.ts';

/** A byte-level BPE tokenizer as tokenizer.json describes it, checked. */
export interface TokenizerDefinition {
  /** The bytes of each token; ids are the positions, special tokens included. */
  readonly tokens: readonly Uint8Array[];
  /** Tokens that text is never encoded to, by text: `<|reserved_ID|>` for ids that the file leaves out, as tiktoken's o200k_harmony has them. */
  readonly specialTokens: ReadonlyMap<string, number>;
  /** The regular expression that cuts text into the pieces within which merges happen. */
  readonly pattern: string;
}

/**
 * Reads the JSON of a tokenizer.json in the form that GPT-OSS uses: byte-level BPE, one split pattern, no normaliser.
 *
 * The ids must rise in the order of the merges. Only then may an encoder that merges the pair with the lowest id first
 * stand in for the list of merges.
 *
 * @param json the parsed file.
 * @param path names the file in errors.
 * @throws InvalidTokenizerError
 */
export function parseTokenizerFile(json: unknown, path: string): TokenizerDefinition {
  const fail = (field: string, found: string): never => {
    throw new InvalidTokenizerError(path, field, found);
  };
  if (!isJsonObject(json)) return fail('the document', 'is no object');
  const model = json['model'];
  if (!isJsonObject(model)) return fail('model', 'is no object');
  // Files of old versions of the tokenizers library say no type.
  const type = model['type'] ?? 'BPE';
  if (type !== 'BPE') return fail('model.type', `is ${JSON.stringify(type)}, only "BPE" is supported`);
  refuseVariants(json, model, fail);
  const ranks = parseVocabulary(model['vocab'], fail);
  const specialTokens = parseAddedTokens(json['added_tokens'], ranks, fail);
  // Some writers list the special tokens among the vocabulary as well.
  for (const text of specialTokens.keys()) ranks.delete(text);
  checkMerges(model['merges'], ranks, fail);

  const count = ranks.size + specialTokens.size;
  const tokens: Uint8Array[] = [];
  const place = (id: number, text: string, bytes: Uint8Array): void => {
    if (id >= count * MOST_IDS_PER_TOKEN) {
      fail('model.vocab', `gives ${JSON.stringify(text)} the id ${id}, though there are only ${count} tokens`);
    }
    if (tokens[id] !== undefined) fail('model.vocab', `gives the id ${id} to two tokens`);
    tokens[id] = bytes;
  };
  for (const [text, id] of ranks) {
    const bytes = byteLevelToBytes(text);
    if (bytes === null)
      return fail('model.vocab', `has ${JSON.stringify(text)}, which is not in the byte-level alphabet`);
    place(id, text, bytes);
  }
  for (const [text, id] of specialTokens) place(id, text, new TextEncoder().encode(text));
  for (let id = 0; id < tokens.length; id++) {
    if (tokens[id] !== undefined) continue;
    const text = `<|reserved_${id}|>`;
    if (specialTokens.has(text)) fail('added_tokens', `has ${text}, which is the name of the id ${id} without a token`);
    specialTokens.set(text, id);
    tokens[id] = new TextEncoder().encode(text);
  }
  return { tokens, specialTokens, pattern: parsePattern(json, fail) };
}

/** Ids without a token: at most as many as there are tokens, or a damaged id would ask for any amount of memory. */
const MOST_IDS_PER_TOKEN = 2;

type Fail = (field: string, found: string) => never;

/**
 * Settings that would change how text is encoded, which GPT-OSS does not use.
 *
 * What is for characters that the vocabulary lacks (`unk_token`, `fuse_unk`, `byte_fallback`) changes nothing: it has
 * every byte, which `checkMerges` sees to.
 */
function refuseVariants(json: JsonObject, model: JsonObject, fail: Fail): void {
  if (!isNeutralNormalizer(json['normalizer'])) fail('normalizer', 'changes texts, which is not supported');
  const neutral: Readonly<Record<string, unknown>> = {
    dropout: 0,
    continuing_subword_prefix: '',
    end_of_word_suffix: '',
  };
  for (const [field, nothing] of Object.entries(neutral)) {
    const value = model[field] ?? nothing;
    if (value !== nothing) fail(`model.${field}`, 'is set, which is not supported');
  }
}

function parseVocabulary(vocabulary: unknown, fail: Fail): Map<string, number> {
  if (!isJsonObject(vocabulary)) return fail('model.vocab', 'is no object');
  const ranks = new Map<string, number>();
  for (const text of Object.keys(vocabulary)) {
    const id = vocabulary[text];
    if (!isTokenId(id)) return fail('model.vocab', `gives ${JSON.stringify(text)} the id ${JSON.stringify(id)}`);
    if (text === '') return fail('model.vocab', 'has an empty token');
    ranks.set(text, id);
  }
  return ranks;
}

function isTokenId(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 31;
}

/**
 * Every token of more than one byte must come from a merge, and the merges must be listed in the order of the ids they
 * make. The parts of a merge may have higher ids than its result: o200k has the four spaces before the three.
 */
function checkMerges(merges: unknown, ranks: ReadonlyMap<string, number>, fail: Fail): void {
  if (!Array.isArray(merges)) return fail('model.merges', 'is no list');
  // By id: the lists are long, and a set of texts would take several times as long to fill.
  const merged = new Set<number>();
  let last = -1;
  // Half a million where there are 200,000 tokens: what only an error needs is made for an error alone.
  for (let index = 0; index < merges.length; index++) {
    const parts = splitMerge(merges[index]);
    if (parts === null) return fail(`model.merges[${index}]`, 'is no pair of tokens');
    const [left, right] = parts;
    const id = ranks.get(left + right);
    if (id === undefined || !ranks.has(left) || !ranks.has(right)) {
      return fail(
        `model.merges[${index}]`,
        `merges ${JSON.stringify(left)} and ${JSON.stringify(right)}, which are not all in the vocabulary`,
      );
    }
    if (id === last) continue;
    if (id < last) {
      return fail(`model.merges[${index}]`, `makes the token ${id} out of order: ids must rise with the merges`);
    }
    merged.add(id);
    last = id;
  }
  for (const [text, id] of ranks) {
    if (text.length > 1 && !merged.has(id)) fail('model.vocab', `has ${JSON.stringify(text)}, which no merge makes`);
  }
  for (let byte = 0; byte < 256; byte++) {
    if (!ranks.has(bytesToByteLevel([byte]))) fail('model.vocab', `has no token for the byte ${byte}`);
  }
}

/** Older files write a merge as one text with a space, newer ones as a pair. */
function splitMerge(merge: unknown): readonly [string, string] | null {
  if (typeof merge === 'string') {
    const space = merge.indexOf(' ');
    const isPair = space >= 0 && merge.indexOf(' ', space + 1) < 0;
    return isPair ? [merge.slice(0, space), merge.slice(space + 1)] : null;
  }
  if (!Array.isArray(merge) || merge.length !== 2) return null;
  const [left, right]: unknown[] = merge;
  return typeof left === 'string' && typeof right === 'string' ? [left, right] : null;
}

function parseAddedTokens(added: unknown, ranks: ReadonlyMap<string, number>, fail: Fail): Map<string, number> {
  const specialTokens = new Map<string, number>();
  if (added === undefined || added === null) return specialTokens;
  if (!Array.isArray(added)) return fail('added_tokens', 'is no list');
  for (const [index, token] of added.entries()) {
    const where = `added_tokens[${index}]`;
    if (!isJsonObject(token)) return fail(where, 'is no object');
    const { id, content } = token;
    if (typeof content !== 'string' || content === '') return fail(`${where}.content`, 'is no text');
    if (!isTokenId(id)) return fail(`${where}.id`, `is ${JSON.stringify(id) ?? 'missing'}`);
    // `normalized` asks for the normaliser first, and there is none that changes anything.
    for (const flag of ['single_word', 'lstrip', 'rstrip']) {
      if (token[flag] === true) fail(`${where}.${flag}`, 'is true, which is not supported');
    }
    if ((specialTokens.get(content) ?? id) !== id) fail(where, `names ${JSON.stringify(content)} with a second id`);
    const listed = ranks.get(content);
    if (listed !== undefined && listed !== id)
      fail(where, `gives ${JSON.stringify(content)} another id than the vocabulary`);
    specialTokens.set(content, id);
  }
  return specialTokens;
}

function parsePattern(json: JsonObject, fail: Fail): string {
  const steps = stepsOf(json['pre_tokenizer'], 'pretokenizers');
  if (steps === null) return fail('pre_tokenizer', 'is no object');
  const [split, byteLevel, ...rest] = steps;
  if (split?.['type'] !== 'Split' || byteLevel?.['type'] !== 'ByteLevel' || rest.length > 0) {
    return fail('pre_tokenizer', 'is not a Split followed by ByteLevel');
  }
  // Absent, both are true in the tokenizers library.
  if (byteLevel['add_prefix_space'] !== false || byteLevel['use_regex'] !== false) {
    return fail('pre_tokenizer.ByteLevel', 'must have add_prefix_space and use_regex false');
  }
  const pattern = isJsonObject(split['pattern']) ? split['pattern']['Regex'] : undefined;
  if (typeof pattern !== 'string' || pattern === '') return fail('pre_tokenizer.Split.pattern', 'has no Regex');
  if (!isolatesMatches(split, pattern)) {
    return fail('pre_tokenizer.Split', 'has another behavior than "Isolated"');
  }
  return pattern;
}
