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
const ENDING = '<|start|>assistant<|channel|>final<|message|>The answer.<|return|>';

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

for (const [name, tokenizer] of [
  ['a small vocabulary', new ByteTokenizer()],
  ["the embedded checkpoint's vocabulary", pocketTokenizer],
] as const) {
  describe(`any soup of headers before a well-formed ending, in tokens of ${name}`, () => {
    it('leaves the final message alone as the content, however it is cut into tokens', () => {
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
        { numRuns: 800 },
      );
    });
  });
}

describe('what is not a final message, a preamble or a call', () => {
  const tokenizer = new ByteTokenizer();
  const cases: readonly (readonly [soup: string, analysis: string])[] = [
    ['<|channel|>??<|message|>thinking aloud<|end|>', 'thinking aloud'],
    ['<|channel|>We need to look<|end|>', 'We need to look'],
    ['<|channel|>We need to look<|start|>assistant<|channel|>analysis<|message|>more<|end|>', 'We need to look\nmore'],
    ['We need to look<|end|>', 'We need to look'],
    ['<|message|>We need to look<|end|>', 'We need to look'],
    ['<|channel|><|message|>We need to look<|end|>', 'We need to look'],
    ['<|channel|>finally<|message|>We need to look<|end|>', 'We need to look'],
    ['<|start|>narrator<|channel|>final<|message|>We need to look<|end|>', 'We need to look'],
    ['<|channel|>commentary?<|message|>We need to look<|end|>', 'We need to look'],
    ['<|channel|>commentary to=assistant<|channel|>commentary<|message|>We need to look<|end|>', 'We need to look'],
    ['<|channel|>final We need to look<|end|>', 'We need to look'],
    [`<|channel|>${'We need to look. '.repeat(60)}<|end|>`, 'We need to look. '.repeat(60)],
  ];
  for (const [text, analysis] of cases) {
    it(`is analysis, whole: ${text.slice(0, 80)}`, () => {
      const read = parseAnswer(tokenizer.encodeWithSpecialTokens(text + ENDING), tokenizer);
      assert.deepEqual([read.analysis, read.preambles, read.final, read.toolCalls], [analysis, [], 'The answer.', []]);
    });
  }

  it('is the answer all the same where it is the last message, and its header is only faulty', () => {
    for (const header of [
      '',
      '<|channel|>final ',
      '<|message|>',
      '<|channel|>Final<|message|>',
      '<|channel|><|message|>',
    ]) {
      const ids = tokenizer.encodeWithSpecialTokens(`${header}Paris.<|return|>`);
      assert.equal(parseAnswer(ids, tokenizer).final, 'Paris.', header);
    }
  });
});
