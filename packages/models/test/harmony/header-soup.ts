/** Soups of headers before a well-formed ending, and what has to come of them. */

import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { type HarmonyEvent, HarmonyParser, parseAnswer } from '../../src/gpt-oss/harmony/index.ts';
import { FUZZ_SEED } from '../fixtures/fuzz-seed.ts';
import type { Tokenizer } from '../../src/tokenizer/tokenizer.ts';

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
/** Those that headers are mostly made of. */
const USUAL = ['<|channel|>', '<|message|>', 'final', 'commentary', '<|end|>', '<|start|>', 'assistant'];
export const ENDING = '<|start|>assistant<|channel|>final<|message|>The answer.<|return|>';

/** Recipients that are no tools. */
const NOBODY = String.raw`(?:\s*to=\s*(?:assistant|user|all)(?=\s|<|$))*`;
/** Where a header may begin: anywhere but inside of another one. What is longer than headers are is content. */
const BEGINNING = String.raw`(?:^|<\|end\|>|<\|start\|>|[^<]{512,}|<\|message\|>(?:[^<]|<\|(?:constrain|message)\|>)*?)`;
const CONTENT_TYPE = String.raw`(?:\s*(?:json|code|text)|\s*<\|constrain\|>\s*[A-Za-z][\w+/-]*)?`;
/** What is a message for the user by itself: the format's own headers of final messages and preambles. */
const WELL_FORMED = new RegExp(
  String.raw`${BEGINNING}\s*(?:assistant)?(?:\s*<\|constrain\|>\s*[A-Za-z][\w+/-]*)?${NOBODY}\s*` +
    String.raw`<\|channel\|>\s*(?:final|commentary)${NOBODY}${CONTENT_TYPE}${NOBODY}\s*<\|message\|>`,
);

const soup = fc
  .array(fc.oneof(fc.constantFrom(...PIECES), fc.constantFrom(...USUAL)), { maxLength: 14 })
  .map((pieces) => pieces.join(''))
  .filter((text) => !WELL_FORMED.test(text));

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
    { numRuns, ...FUZZ_SEED },
  );
}
