import assert from 'node:assert/strict';
import {
  type HarmonyConversation,
  type HarmonyTool,
  parseMessages,
  POCKET_DICTIONARY_FORMAT,
  renderConversation,
} from '../../src/gpt-oss/harmony/index.ts';
import { pocketTokenizer, reference } from './pocket-dictionary.ts';

function tool(name: string, description: string, argument?: string, about = '', type = 'string'): HarmonyTool {
  if (argument === undefined) return { name, description };
  const properties = { [argument]: { type, description: about } };
  return { name, description, parameters: { type: 'object', properties, required: [argument] } };
}

function question(content: string, reasoningEffort: 'low' | 'medium' | 'high' = 'medium'): HarmonyConversation {
  return { messages: [{ role: 'user', content }], reasoningEffort, currentDate: '2026-11-23' };
}

/** A question, one call of a tool and the answer, in the order of the reference's last two prompts. */
function toolTurn(
  user: string,
  name: string,
  args: string,
  result: string,
  final: string,
): HarmonyConversation['messages'] {
  return [
    { role: 'user', content: user },
    { role: 'assistant', analysis: `I need ${name}.`, toolCalls: [{ id: '1', name, arguments: args }] },
    { role: 'tool', toolCallId: '1', content: result },
    { role: 'assistant', analysis: 'The result is here.', content: final },
  ];
}

const CONVERSATIONS: readonly HarmonyConversation[] = [
  question('What is a lighthouse?'),
  question('What is 17 + 25?', 'low'),
  question('Define the verb run.', 'high'),
  {
    ...question("What's the weather in Paris?"),
    tools: [
      tool('get_weather', 'Get the weather for a given location', 'location', 'The location to get the weather for'),
    ],
  },
  question('Who are you?'),
  {
    currentDate: '2028-08-04',
    tools: [tool('get_current_weather', 'Look up the weather in a city', 'place', 'The place to get the weather for')],
    messages: toolTurn(
      'Check the weather for Shanghai.',
      'get_current_weather',
      '{"place":"Shanghai"}',
      '{"temperature":-4}',
      'It is -4 degrees in Shanghai.',
    ),
  },
  {
    currentDate: '2026-09-11',
    reasoningEffort: 'high',
    tools: [
      tool('weather', 'Get the weather for a given location', 'place', 'The place to get the weather for'),
      tool('lookup_weather', 'Get the weather for a given location', 'place', 'The place to get the weather for'),
      tool(
        'system_status',
        'Returns the current health status of the LLM runtime—use before critical operations to verify the service is live.',
      ),
      tool('find_camera', 'Finds a camera.', 'number', 'The camera to find', 'integer'),
    ],
    messages: toolTurn(
      'I need you to find camera 9955.',
      'find_camera',
      '{"number":9955}',
      '{"status":"pending"}',
      'The status of camera 9955 is pending.',
    ),
  },
];

describe("the reference's prompts", () => {
  for (const [index, { text, ids }] of reference.entries()) {
    const conversation = CONVERSATIONS[index] ?? assert.fail(`no conversation for prompt ${index}`);

    it(`prompt ${index} has the ids that transformers gives`, () => {
      const addGenerationPrompt = !text.endsWith('<|return|>');
      const options = { format: POCKET_DICTIONARY_FORMAT, addGenerationPrompt };
      const rendered = renderConversation(conversation, pocketTokenizer, options);
      assert.equal(pocketTokenizer.decode(rendered), text);
      assert.deepEqual(rendered, ids);
    });

    it(`prompt ${index} is read in strict mode`, () => {
      const messages = parseMessages(ids, pocketTokenizer, { strict: true });
      assert.equal(messages.length, text.split('<|message|>').length - 1);
      for (const { content } of messages) assert.ok(text.includes(`<|message|>${content}<|`));
    });
  }
});
