import assert from 'node:assert/strict';
import { parseAnswer } from '../../src/gpt-oss/harmony/index.ts';
import { ByteTokenizer } from './byte-tokenizer.ts';
import { checkSoups, ENDING } from './header-soup.ts';
import { TOKENIZERS } from './tokenizers.ts';

for (const [name, tokenizer] of TOKENIZERS) {
  describe(`any soup of headers before a well-formed ending, in tokens of ${name}`, () => {
    it('leaves the final message alone as the content, however it is cut into tokens', () =>
      checkSoups(tokenizer, 800));
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
    ['<|channel|>final<|constrain|><|message|>We need to look<|end|>', 'We need to look'],
    ['<|channel|>final<|constrain|>json<|constrain|>code<|message|>We need to look<|end|>', 'We need to look'],
    ['final<|channel|>final<|message|>We need to look<|end|>', 'We need to look'],
    ['json<|channel|>final<|message|>We need to look<|end|>', 'We need to look'],
    ['<|channel|>final words<|message|>We need to look<|end|>', 'We need to look'],
    ['<|channel|>analysis<|message|><|end|>', ''],
    ['<|channel|>final<|message|><|end|>', ''],
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
