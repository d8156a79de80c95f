/**
 * Lines of a chat that are no messages: `/help` and what it names.
 */

import { reasonOf } from '../contain.ts';
import { writeFile } from 'node:fs/promises';
import { REASONING_EFFORTS } from '@switchyard/models';
import type { HarmonyMessage } from '@switchyard/models';
import type { ConversationOptions } from '../request.ts';
import { readMessages } from './input-files.ts';

/** What commands change. */
export interface ChatState {
  messages: HarmonyMessage[];
  reasoningEffort: ConversationOptions['reasoningEffort'];
  /** Instructions to the model before the conversation; empty for none. */
  instructions: string;
}

interface ChatCommand {
  readonly name: string;
  /** What follows the name, for the help. */
  readonly value?: string;
  readonly help: string;
  /** Does it, and says so. */
  run(state: ChatState, value: string): string | Promise<string>;
}

const COMMANDS: readonly ChatCommand[] = [
  { name: 'help', help: 'what can be typed', run: () => help() },
  {
    name: 'reset',
    help: 'begin a new conversation',
    run: (state) => {
      state.messages = [];
      return 'The conversation starts anew.';
    },
  },
  {
    name: 'reasoning',
    value: REASONING_EFFORTS.join('|'),
    help: 'how long the model thinks before it answers',
    run: (state, value) => {
      const effort = REASONING_EFFORTS.find((known) => known === value);
      if (effort === undefined)
        return `Give one of ${REASONING_EFFORTS.join(', ')}; it is ${state.reasoningEffort ?? 'medium'}.`;
      state.reasoningEffort = effort;
      return `Reasoning is ${effort} from the next answer on.`;
    },
  },
  {
    name: 'system',
    value: '[TEXT]',
    help: 'instructions to the model before the conversation; without a text there are none',
    run: (state, value) => {
      state.instructions = value;
      return value === '' ? 'There are no instructions.' : 'The instructions hold from the next answer on.';
    },
  },
  {
    name: 'save',
    value: 'FILE',
    help: 'write the conversation as JSON, as --messages of generate takes it',
    run: async (state, value) => {
      if (value === '') return 'Give the file to write: /save FILE';
      await writeFile(value, `${JSON.stringify(state.messages, null, 2)}\n`);
      return `${state.messages.length} messages are in ${value}.`;
    },
  },
  {
    name: 'load',
    value: 'FILE',
    help: 'go on from a conversation that was saved',
    run: async (state, value) => {
      if (value === '') return 'Give the file to read: /load FILE';
      state.messages = [...(await readMessages(value))];
      return `${state.messages.length} messages are loaded.`;
    },
  },
];

function help(): string {
  const called = COMMANDS.map(({ name, value, help: text }) => [
    `/${name}${value === undefined ? '' : ` ${value}`}`,
    text,
  ]);
  const width = Math.max(...called.map(([call = '']) => call.length));
  return called.map(([call = '', text = '']) => `${call.padEnd(width)}  ${text}`).join('\n');
}

/**
 * Does what a line asks for. Two slashes begin a message that begins with one.
 *
 * @returns what to tell the person; null where the line is a message
 */
export async function runChatCommand(state: ChatState, line: string): Promise<string | null> {
  const found = /^\/(?!\/)(\S*)\s*(.*)$/su.exec(line.trim());
  if (found === null) return null;
  const [, name = '', value = ''] = found;
  const command = COMMANDS.find((known) => known.name === name);
  if (command === undefined) return `There is no /${name}. /help tells what there is; a message may begin with //.`;
  try {
    return await command.run(state, value.trim());
  } catch (error) {
    return `/${name} did not work: ${reasonOf(error)}`;
  }
}
