import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import {
  type HarmonyMessage,
  parseMessages,
  POCKET_DICTIONARY_FORMAT,
  PUBLISHED_HARMONY_FORMAT,
  renderConversation,
  toConversationMessages,
} from '../../src/gpt-oss/harmony/index.ts';
import { anyText, conversations } from './arbitrary-conversation.ts';
import { ByteTokenizer } from './byte-tokenizer.ts';

const tokenizer = new ByteTokenizer();

/** Call ids are not part of the format: only which call a result belongs to is kept. */
function withoutCallIds(messages: readonly HarmonyMessage[]): readonly unknown[] {
  const owners = new Map<string, number>();
  return messages.map((message) => {
    if (message.role === 'assistant') {
      return {
        ...message,
        ...(message.toolCalls === undefined
          ? {}
          : {
              toolCalls: message.toolCalls.map(({ id, ...call }) => {
                owners.set(id, owners.size);
                return call;
              }),
            }),
      };
    }
    return message.role === 'tool' ? { ...message, toolCallId: owners.get(message.toolCallId ?? '') } : message;
  });
}

describe('a rendered conversation, parsed', () => {
  for (const [name, format] of Object.entries({ PUBLISHED_HARMONY_FORMAT, POCKET_DICTIONARY_FORMAT })) {
    it(`is the conversation again: ${name}`, () => {
      fc.assert(
        fc.property(conversations(anyText), fc.boolean(), (conversation, addGenerationPrompt) => {
          const ids = renderConversation(conversation, tokenizer, { format, addGenerationPrompt, analysis: 'all' });
          const parsed = toConversationMessages(parseMessages(ids, tokenizer, { strict: true }));
          const turns = conversation.messages.filter(({ role }) => role !== 'system' && role !== 'developer');
          assert.deepEqual(withoutCallIds(parsed.slice(-turns.length)), withoutCallIds(turns));
        }),
      );
    });
  }

  it('has lost the analysis of earlier turns, and nothing else', () => {
    fc.assert(
      fc.property(conversations(anyText), (conversation) => {
        const ids = renderConversation(conversation, tokenizer);
        const parsed = toConversationMessages(parseMessages(ids, tokenizer, { strict: true }));
        const turns = conversation.messages.filter(({ role }) => role !== 'system' && role !== 'developer');
        const lastUser = turns.findLastIndex(({ role }) => role === 'user');
        const expected = turns.map((message, index) => {
          if (message.role !== 'assistant' || index > lastUser) return message;
          const { analysis: _, ...rest } = message;
          return rest;
        });
        assert.deepEqual(withoutCallIds(parsed.slice(-expected.length)), withoutCallIds(expected));
      }),
    );
  });

  it('ties results to calls of the same tool in their order', () => {
    const messages: HarmonyMessage[] = [
      { role: 'user', content: 'q' },
      {
        role: 'assistant',
        toolCalls: [
          { id: '1', name: 'f', arguments: 'a' },
          { id: '2', name: 'f', arguments: 'b' },
        ],
      },
      { role: 'tool', name: 'f', toolCallId: '1', content: 'A' },
      { role: 'tool', name: 'f', toolCallId: '2', content: 'B' },
      { role: 'assistant', analysis: 'x', preamble: 'y', toolCalls: [{ id: '3', name: 'g', arguments: '{}' }] },
    ];
    const ids = renderConversation({ messages }, tokenizer, { addGenerationPrompt: false });
    let calls = 0;
    const parsed = parseMessages(ids, tokenizer, { newCallId: () => String((calls += 1)) });
    assert.deepEqual(toConversationMessages(parsed).slice(1), messages);
  });
});
