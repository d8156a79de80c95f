/** Soups of headers before a well-formed ending, and what has to come of them. */
import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { type HarmonyEvent, HarmonyParser, parseAnswer } from '../../src/gpt-oss/harmony/index.ts';
import type { Tokenizer } from '../../src/tokenizer/tokenizer.ts';
import { ByteTokenizer } from './byte-tokenizer.ts';
import { pocketTokenizer } from './pocket-dictionary.ts';

/** Pieces of headers, of thoughts, and markers; nothing that ends the answer. */
const PIECES = [
  '<|start|>',
  '<|channel|>',
  '<|message|>',
  '<|end|>',
  '<|constrain|>',
  'assistant',
  'user',
  'narrator',
  'analysis',
  'commentary',
  'commentary?',
  'final',
  'Final',
  'finally',
  '??',
  ' to=assistant',
  ' to=functions.f',
  ' to=python',
  ' to=',
  'functions.f',
  ' code',
  ' json',
  'We need to look',
  ' and then some more words',
  '{"a":1}',
  '\n',
  'é',
  'x'.repeat(600),
];
export const ENDING = '<|start|>assistant<|channel|>final<|message|>The answer.<|return|>';

/** What is a message for the user by itself: the format's own headers of final messages and preambles. */
const WELL_FORMED =
  /(?:^|<\|end\|>|<\|start\|>)\s*(?:assistant)?\s*(?:<\|constrain\|>\s*\w*\s*)*(?:\s*to=(?:assistant|user|all))?\s*<\|channel\|>\s*(?:final|commentary)\s*(?:\s*to=(?:assistant|user|all))?(?:(?:<\|constrain\|>)?\s*[A-Za-z][\w+/-]*)?\s*<\|message\|>/;

const soup = fc
  .array(fc.constantFrom(...PIECES), { maxLength: 14 })
  .map((pieces) => pieces.join(''))
  .filter((text) => !isWellFormed(text));

/** Whether there is such a header anywhere: inside of content a marker begins the next message. */
function isWellFormed(text: string): boolean {
  return (
    WELL_FORMED.test(text) ||
    /<\|message\|>[^<]*<\|channel\|>\s*(?:final|commentary)[^<]*(?:<\|constrain\|>[^<]*)*<\|message\|>/.test(text)
  );
}

/** Every character a token of its own, or as the tokenizer cuts it; markers are tokens either way. */
function idsOf(text: string, tokenizer: Tokenizer, split: boolean): number[] {
  return text.split(/(<\|\w+\|>)/).flatMap((piece) => {
    const special = tokenizer.specialTokens.get(piece);
    if (special !== undefined) return [special];
    return split ? Array.from(piece).flatMap((character) => tokenizer.encode(character)) : tokenizer.encode(piece);
  });
}

const eventsOf = (ids: readonly number[], tokenizer: Tokenizer): HarmonyEvent[] => {
  const parser = new HarmonyParser(tokenizer, { tools: new Set(['f']) });
  return [...ids.flatMap((id) => parser.push(id)), ...parser.finish()];
};

export const TOKENIZERS: readonly (readonly [name: string, tokenizer: Tokenizer])[] = [
  ['a small vocabulary', new ByteTokenizer()],
  ["the embedded checkpoint's vocabulary", pocketTokenizer],
];

/** Checks that the final message alone is the content, whole and streamed, however the soup is cut into tokens. */
export function checkSoups(tokenizer: Tokenizer, numRuns: number): void {
  fc.assert(
    fc.property(soup, fc.boolean(), (text, split) => {
      const ids = idsOf(text + ENDING, tokenizer, split);
      const { final, preambles } = parseAnswer(ids, tokenizer, { tools: new Set(['f']) });
      assert.deepEqual([final, preambles], ['The answer.', []]);
      // What was streamed is the same: nothing is taken back.
      const streamed = eventsOf(ids, tokenizer).flatMap((event) =>
        event.type === 'content' && (event.kind === 'final' || event.kind === 'preamble') ? [event.text] : [],
      );
      assert.equal(streamed.join(''), 'The answer.');
    }),
    { numRuns },
  );
}
