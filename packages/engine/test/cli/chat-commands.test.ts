import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HarmonyMessage } from '@switchyard/models';
import { type ChatState, runChatCommand } from '../../src/cli/chat-commands.ts';

const CONVERSATION: readonly HarmonyMessage[] = [
  { role: 'user', content: 'What is a lighthouse?' },
  { role: 'assistant', analysis: 'A word.', content: 'A tower with a light.' },
];

describe('commands of a chat', () => {
  let folder: string;
  let state: ChatState;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'switchyard-chat-'));
  });
  after(() => rm(folder, { recursive: true }));
  beforeEach(() => {
    state = { messages: [...CONVERSATION], reasoningEffort: undefined, instructions: '' };
  });

  it('are told by /help, each with what it takes', async () => {
    const told = (await runChatCommand(state, ' /help ')) ?? '';
    const names = told.split('\n').map((line) => /^\/\w+/.exec(line)?.[0]);
    assert.deepEqual(names, ['/help', '/reset', '/reasoning', '/system', '/save', '/load']);
  });

  it('change the conversation and what it is held with', async () => {
    await runChatCommand(state, '/reasoning high');
    assert.equal(state.reasoningEffort, 'high');
    assert.match((await runChatCommand(state, '/reasoning much')) ?? '', /Give one of low, medium, high; it is high/);
    await runChatCommand(state, '/system Answer in one  word.');
    assert.equal(state.instructions, 'Answer in one  word.');
    await runChatCommand(state, '/system');
    assert.equal(state.instructions, '');
    await runChatCommand(state, '/reset');
    assert.deepEqual([state.messages, state.reasoningEffort], [[], 'high']);
  });

  it('save a conversation that can be loaded again', async () => {
    const path = join(folder, 'a conversation.json');
    assert.match((await runChatCommand(state, `/save ${path}`)) ?? '', /^2 messages are in /);
    state.messages = [];
    assert.match((await runChatCommand(state, `/load ${path}`)) ?? '', /^2 messages are loaded/);
    assert.deepEqual(state.messages, CONVERSATION);
  });

  it('say what is wrong and change nothing', async () => {
    for (const [line, says] of [
      ['/save', /Give the file/],
      ['/load', /Give the file/],
      [`/load ${join(folder, 'nothing.json')}`, /\/load did not work: .*nothing\.json/s],
      [`/save ${join(folder, 'no', 'such', 'folder.json')}`, /\/save did not work/],
      ['/quit', /There is no \/quit\. \/help/],
      ['/', /There is no \//],
    ] as const) {
      assert.match((await runChatCommand(state, line)) ?? '', says);
      assert.deepEqual(state.messages, CONVERSATION);
    }
  });

  it('are no messages, and what begins with two slashes is one', async () => {
    for (const line of ['//help', 'a /help', 'what is 1/2?', '']) assert.equal(await runChatCommand(state, line), null);
  });
});
