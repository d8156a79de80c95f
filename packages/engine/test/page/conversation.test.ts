import assert from 'node:assert/strict';

interface Call {
  readonly id: string;
  readonly name: string;
  readonly arguments: string;
  readonly result: string | null;
}
interface Entry {
  readonly role: 'user' | 'model';
  readonly content: string;
  readonly reasoning?: string;
  readonly calls?: readonly Call[];
  readonly outcome?: string;
  readonly note?: string;
}
interface Module {
  readonly messagesOf: (entries: readonly Entry[], system: string) => object[];
  readonly titleOf: (entries: readonly Entry[]) => string;
  readonly isConversation: (value: unknown) => boolean;
}

const { messagesOf, titleOf, isConversation } = (await import(
  new URL('../../assets/page/conversation.mjs', import.meta.url).href
)) as Module;

const user = (content: string): Entry => ({ role: 'user', content });
const model = (content: string, more: Partial<Entry> = {}): Entry => ({
  role: 'model',
  content,
  reasoning: '',
  calls: [],
  outcome: 'done',
  note: '',
  ...more,
});
const call = (result: string | null): Call => ({ id: 'call_1', name: 'look_up', arguments: '{}', result });

describe('the messages of a conversation', () => {
  it('are what the model answered a part of, and the last question', () => {
    const entries = [user('a'), model('A'), user('b'), model('', { outcome: 'failed' }), user('c'), user('d')];
    assert.deepEqual(messagesOf(entries, ''), [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: 'A' },
      { role: 'user', content: 'd' },
    ]);
  });

  it('have an empty answer where the model gave one, and a part where it was stopped', () => {
    const entries = [user('a'), model(''), user('b'), model('B', { outcome: 'stopped' }), user('c')];
    assert.deepEqual(messagesOf(entries, ''), [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: '' },
      { role: 'user', content: 'b' },
      { role: 'assistant', content: 'B' },
      { role: 'user', content: 'c' },
    ]);
  });

  it('begin with the system prompt where there is one', () => {
    assert.deepEqual(messagesOf([user('a')], ' \n'), [{ role: 'user', content: 'a' }]);
    assert.deepEqual(messagesOf([user('a')], 'Be brief.')[0], { role: 'system', content: 'Be brief.' });
  });

  it('have thoughts only where there is nothing else, or calls', () => {
    const thought = { reasoning: 'hm' };
    assert.deepEqual(messagesOf([user('a'), model('A', thought)], '')[1], { role: 'assistant', content: 'A' });
    assert.deepEqual(messagesOf([user('a'), model('', { ...thought, outcome: 'stopped' })], '')[1], {
      role: 'assistant',
      content: '',
      reasoning: 'hm',
    });
  });

  it('have calls with their results, and none that has no result', () => {
    const function_ = { id: 'call_1', type: 'function', function: { name: 'look_up', arguments: '{}' } };
    assert.deepEqual(messagesOf([user('a'), model('', { reasoning: 'hm', calls: [call('found')] })], ''), [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: '', reasoning: 'hm', tool_calls: [function_] },
      { role: 'tool', tool_call_id: 'call_1', content: 'found' },
    ]);
    assert.deepEqual(messagesOf([user('a'), model('', { calls: [call(null)] }), user('b')], ''), [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: '' },
      { role: 'user', content: 'b' },
    ]);
  });
});

describe('a conversation', () => {
  it('is called by the first line of its first question', () => {
    assert.equal(titleOf([]), '');
    assert.equal(titleOf([user('\n  first\nsecond'), model('A'), user('b')]), 'first');
    const long = titleOf([user('x'.repeat(100))]);
    assert.equal(long, `${'x'.repeat(59)}…`);
  });

  it('is told from what else may have been stored', () => {
    const whole = { id: 'a', title: 't', updated: 1, entries: [user('a'), model('A')] };
    assert.equal(isConversation(whole), true);
    for (const other of [
      null,
      'text',
      {},
      { ...whole, id: 1 },
      { ...whole, updated: '1' },
      { ...whole, entries: {} },
      { ...whole, entries: [null] },
      { ...whole, entries: [{ role: 'model', content: 'A' }] },
      { ...whole, entries: [{ role: 'system', content: 'A' }] },
      { ...whole, entries: [user('a'), { ...model('A'), calls: 'none' }] },
    ]) {
      assert.equal(isConversation(other), false, JSON.stringify(other));
    }
  });
});
