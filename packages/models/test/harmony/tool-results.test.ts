import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { MissingToolResultError, UnknownToolResultError } from '../../src/errors.ts';
import {
  type HarmonyMessage,
  type HarmonyToolCall,
  parseMessages,
  renderConversation,
  toConversationMessages,
} from '../../src/gpt-oss/harmony/index.ts';
import { ByteTokenizer } from './byte-tokenizer.ts';

const tokenizer = new ByteTokenizer();
const call = (id: string, name = 'f'): HarmonyToolCall => ({ id, name, arguments: `{"call":"${id}"}` });
const result = (toolCallId: string): HarmonyMessage => ({
  role: 'tool',
  toolCallId,
  content: `result of ${toolCallId}`,
});
const user = (content: string): HarmonyMessage => ({ role: 'user', content });

/** The conversation as the model reads it, each result with the arguments of the call at its place. */
function bound(messages: readonly HarmonyMessage[], addGenerationPrompt = true): string[] {
  const ids = renderConversation({ messages }, tokenizer, { addGenerationPrompt });
  const read = toConversationMessages(parseMessages(ids, tokenizer)).slice(1);
  const calls = new Map(
    read
      .flatMap((message) => (message.role === 'assistant' ? (message.toolCalls ?? []) : []))
      .map((made) => [made.id, made]),
  );
  return read.flatMap((message) => {
    if (message.role === 'tool')
      return [`${calls.get(message.toolCallId ?? '')?.arguments ?? 'none'}: ${message.content}`];
    return message.role === 'user' ? [message.content] : [];
  });
}

describe('results belong to calls by their ids', () => {
  it('in whatever order they come, and whatever stands between', () => {
    const ids = fc.uniqueArray(fc.stringMatching(/^[a-z]{1,3}$/), { minLength: 1, maxLength: 5 });
    const shuffled = ids.chain((list) =>
      fc.tuple(
        fc.constant(list),
        fc.shuffledSubarray(list, { minLength: list.length, maxLength: list.length }),
        fc.array(fc.nat(list.length), { maxLength: 2 }),
        fc.boolean(),
      ),
    );
    fc.assert(
      fc.property(shuffled, ([list, order, places, separate]) => {
        const made = list.map((id) => call(id));
        const steps: HarmonyMessage[] = separate
          ? made.map((one) => ({ role: 'assistant', toolCalls: [one] }))
          : [{ role: 'assistant', toolCalls: made }];
        const results = order.map(result);
        for (const place of places) results.splice(place, 0, user('meanwhile'));
        const expected = [
          'go',
          ...list.map((id) => `{"call":"${id}"}: result of ${id}`),
          ...places.map(() => 'meanwhile'),
        ];
        assert.deepEqual(bound([user('go'), ...steps, ...results]), expected);
      }),
    );
  });

  it('and to the latest call of an id that is used again', () => {
    const turn = (n: number): HarmonyMessage[] => [
      user(`turn ${n}`),
      { role: 'assistant', toolCalls: [{ ...call('0'), arguments: `{"turn":${n}}` }] },
      { role: 'tool', toolCallId: '0', content: `result ${n}` },
    ];
    assert.deepEqual(bound([...turn(1), ...turn(2)]), [
      'turn 1',
      '{"turn":1}: result 1',
      'turn 2',
      '{"turn":2}: result 2',
    ]);
  });

  it('by name to the earliest call, where they have no id', () => {
    const named = (name: string, content: string): HarmonyMessage => ({ role: 'tool', name, content });
    const step: HarmonyMessage = { role: 'assistant', toolCalls: [call('a', 'f'), call('b', 'g'), call('c', 'f')] };
    assert.deepEqual(bound([user('go'), step, named('g', 'G'), named('f', '1'), named('f', '2')]), [
      'go',
      '{"call":"a"}: 1',
      '{"call":"b"}: G',
      '{"call":"c"}: 2',
    ]);
  });

  it('a result without its call is refused, and so is a second one', () => {
    const step: HarmonyMessage = { role: 'assistant', toolCalls: [call('a')] };
    for (const messages of [
      [user('go'), result('a')],
      [user('go'), result('a'), step],
      [user('go'), step, result('b')],
      [user('go'), step, result('a'), result('a')],
      [user('go'), { role: 'tool' as const, name: 'f', toolCallId: 'a', content: '' }],
    ]) {
      assert.throws(() => bound(messages), UnknownToolResultError);
    }
  });

  it('a call without its result is refused, unless the conversation ends with it', () => {
    const step: HarmonyMessage = { role: 'assistant', toolCalls: [call('a'), call('b')] };
    for (const messages of [
      [user('go'), step],
      [user('go'), step, result('a')],
      [user('go'), step, user('well?')],
    ]) {
      assert.throws(
        () => bound(messages),
        (error) => error instanceof MissingToolResultError && error.messageIndex === 1,
      );
    }
    assert.throws(() => bound([user('go'), step, result('b'), user('well?')], false), MissingToolResultError);
    assert.deepEqual(bound([user('go'), step], false), ['go']);
  });
});
