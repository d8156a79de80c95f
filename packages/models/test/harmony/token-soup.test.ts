import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { HarmonyParseError } from '../../src/errors.ts';
import { HarmonyParser, isToolName, parseAnswer } from '../../src/gpt-oss/harmony/index.ts';
import type { Tokenizer } from '../../src/tokenizer/tokenizer.ts';
import { FUZZ_SEED } from '../fixtures/fuzz-seed.ts';
import { TOKENIZERS } from './tokenizers.ts';

const WORDS = [
  ' to=functions.f',
  'functions.',
  ' to=',
  'assistant',
  'user',
  'commentary',
  'analysis',
  'final',
  ' json',
  '{"a":1}',
  'to=a.b.c',
];

/** Ids of any kind, with many markers and header words among them, and no `<`: no text can spell a marker. */
function soupOf(tokenizer: Tokenizer): fc.Arbitrary<number[]> {
  const markers = [...tokenizer.specialTokens.values()];
  const words = WORDS.map((text) => tokenizer.encode(text));
  return fc
    .array(
      fc.oneof(
        { weight: 4, arbitrary: fc.constantFrom(...markers).map((id) => [id]) },
        { weight: 4, arbitrary: fc.constantFrom(...words) },
        { weight: 2, arbitrary: fc.integer({ min: 0, max: tokenizer.vocabularySize - 1 }).map((id) => [id]) },
      ),
      { maxLength: 60 },
    )
    .map((parts) => parts.flat().filter((id) => tokenizer.isSpecial(id) || !tokenizer.decode([id]).includes('<')));
}

for (const [name, tokenizer] of TOKENIZERS)
  describe(`any tokens of ${name}`, () => {
    const soup = soupOf(tokenizer);

    it('never throw, never leak a marker and never make up a tool name', () => {
      fc.assert(
        fc.property(soup, fc.constantFrom('assistant' as const, null), (ids, role) => {
          const parser = new HarmonyParser(tokenizer, { role });
          let open: number | null = null;
          let messages = 0;
          const texts: string[] = [];
          for (const event of [...ids.flatMap((id) => parser.push(id)), ...parser.finish()]) {
            if (event.type === 'fault') continue;
            if (event.type === 'message-start') {
              assert.equal(open, null);
              assert.equal(event.index, messages);
              open = event.index;
              messages += 1;
              assert.equal(event.kind === 'tool-call', event.callId !== null);
              if (event.kind === 'tool-call') assert.ok(event.header.recipient !== null);
              for (const name of [event.header.recipient, event.header.toolName]) {
                if (name !== null) assert.ok(isToolName(name), name);
              }
              texts.push(event.header.contentType ?? '');
            } else {
              assert.equal(event.index, open);
              if (event.type === 'content') texts.push(event.text);
              else open = null;
            }
          }
          assert.equal(open, null);
          for (const text of texts) assert.ok(!text.includes('<|'), text);
          for (const call of parser.answer().toolCalls) assert.ok(isToolName(call.name));
        }),
        { numRuns: 3000, ...FUZZ_SEED },
      );
    });

    it('lose no text of a message with a whole header', () => {
      const header = tokenizer.encodeWithSpecialTokens('<|channel|>final<|message|>');
      fc.assert(
        fc.property(fc.string({ unit: 'grapheme' }), (text) => {
          assert.equal(parseAnswer([...header, ...tokenizer.encode(text)], tokenizer).final, text);
        }),
      );
    });

    it('in strict mode give an answer without faults or a HarmonyParseError', () => {
      fc.assert(
        fc.property(soup, (ids) => {
          const tolerant = new HarmonyParser(tokenizer, { newCallId: () => 'call' });
          const events = [...ids.flatMap((id) => tolerant.push(id)), ...tolerant.finish()];
          const faulty = events.some((event) => event.type === 'fault');
          try {
            const strict = parseAnswer(ids, tokenizer, { strict: true, newCallId: () => 'call' });
            assert.equal(faulty, false);
            assert.deepEqual(strict, tolerant.answer());
          } catch (error) {
            if (!(error instanceof HarmonyParseError)) throw error;
            assert.equal(faulty, true);
          }
        }),
        { numRuns: 1000, ...FUZZ_SEED },
      );
    });
  });
