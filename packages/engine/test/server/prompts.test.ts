import assert from 'node:assert/strict';
import { openSnapshot } from '@switchyard/models';
import type { RunningServer } from '../../src/server/start-server.ts';
import { echoed, post, scripted, startScriptedServer } from './test-server.ts';

const CHAT = '/v1/chat/completions';
const RESPONSES = '/v1/responses';
const user = (content: string): object => ({ role: 'user', content });

const WEATHER = {
  name: 'get_weather',
  description: 'Get the weather of a place',
  parameters: { type: 'object', properties: { location: { type: 'string' } }, required: ['location'] },
};
const CHAT_TOOLS = [{ type: 'function', function: WEATHER }];
const RESPONSES_TOOLS = [{ type: 'function', ...WEATHER }];

describe('prompts, as the model gets them', () => {
  let server: RunningServer;
  before(async () => {
    server = await startScriptedServer();
    await server.ready;
  });
  after(() => server.close());

  /** The prompt of a request in which some text says ECHO PROMPT. */
  const promptOf = async (path: string, body: object): Promise<string> => {
    const response = await post(server, path, { temperature: 0, ...body });
    const answer = (await response.json()) as {
      choices?: { message: { content: string } }[];
      output_text?: string;
    };
    assert.equal(response.status, 200, JSON.stringify(answer));
    return echoed(answer.choices?.[0]?.message.content ?? answer.output_text);
  };

  const call = (id: string, location: string): object => ({
    id,
    type: 'function',
    function: { name: 'get_weather', arguments: JSON.stringify({ location }) },
  });
  const TOOL_TURN = [
    '<|start|>user<|message|>Paris and Rome?<|end|>',
    '<|start|>assistant<|channel|>analysis<|message|>I ask for both.<|end|>',
    '<|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"location":"Paris"}<|call|>',
    '<|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"location":"Rome"}<|call|>',
    '<|start|>functions.get_weather to=assistant<|channel|>commentary<|message|>sunny<|end|>',
    '<|start|>functions.get_weather to=assistant<|channel|>commentary<|message|>ECHO PROMPT<|end|>',
    '<|start|>assistant',
  ].join('');

  for (const field of ['reasoning', 'reasoning_content']) {
    it(`take ${field} back with the calls that it led to, and the results of parallel calls`, async () => {
      const prompt = await promptOf(CHAT, {
        tools: CHAT_TOOLS,
        messages: [
          user('Paris and Rome?'),
          { role: 'assistant', [field]: 'I ask for both.', tool_calls: [call('a', 'Paris'), call('b', 'Rome')] },
          { role: 'tool', tool_call_id: 'a', content: 'sunny' },
          { role: 'tool', tool_call_id: 'b', content: 'ECHO PROMPT' },
        ],
      });
      assert.equal(prompt.slice(prompt.indexOf('<|start|>user')), TOOL_TURN);
    });
  }

  it('are the same from the items of responses', async () => {
    const item = (id: string, location: string): object => ({
      type: 'function_call',
      call_id: id,
      name: 'get_weather',
      arguments: JSON.stringify({ location }),
    });
    const output = (id: string, text: string): object => ({ type: 'function_call_output', call_id: id, output: text });
    const input = [
      user('Paris and Rome?'),
      { type: 'reasoning', id: 'rs_1', summary: [], content: [{ type: 'reasoning_text', text: 'I ask for both.' }] },
      item('a', 'Paris'),
      item('b', 'Rome'),
      output('a', 'sunny'),
      output('b', 'ECHO PROMPT'),
    ];
    const prompt = await promptOf(RESPONSES, { tools: RESPONSES_TOOLS, input });
    assert.equal(prompt.slice(prompt.indexOf('<|start|>user')), TOOL_TURN);
  });

  it('keep a preamble, its reasoning and its calls together, over either API', async () => {
    const chat = await promptOf(CHAT, {
      tools: CHAT_TOOLS,
      messages: [
        user('Paris?'),
        { role: 'assistant', reasoning: 'I ask.', content: 'Let me see.', tool_calls: [call('a', 'Paris')] },
        { role: 'tool', tool_call_id: 'a', content: 'ECHO PROMPT' },
      ],
    });
    const responses = await promptOf(RESPONSES, {
      tools: RESPONSES_TOOLS,
      input: [
        user('Paris?'),
        { type: 'reasoning', summary: [{ type: 'summary_text', text: 'I ask.' }] },
        {
          type: 'message',
          role: 'assistant',
          content: [{ type: 'output_text', text: 'Let me see.', annotations: [] }],
        },
        { type: 'function_call', call_id: 'a', name: 'get_weather', arguments: '{"location":"Paris"}' },
        { type: 'function_call_output', call_id: 'a', output: 'ECHO PROMPT' },
      ],
    });
    assert.equal(responses, chat);
    assert.match(
      chat,
      /<\|channel\|>analysis<\|message\|>I ask\.<\|end\|><\|start\|>assistant<\|channel\|>commentary<\|message\|>Let me see\.<\|end\|><\|start\|>assistant<\|channel\|>commentary to=functions\.get_weather/,
    );
  });

  it('have the analysis of turns that are over left out', async () => {
    const prompt = await promptOf(CHAT, {
      messages: [user('One?'), { role: 'assistant', reasoning: 'secret', content: 'One.' }, user('ECHO PROMPT')],
    });
    assert.doesNotMatch(prompt, /secret/);
    assert.match(prompt, /<\|channel\|>final<\|message\|>One\.<\|end\|>/);
  });

  it('tell the model the schema that its answer has to follow, and nothing for other formats', async () => {
    const schema = {
      type: 'object',
      properties: { prompt: { type: 'string' } },
      required: ['prompt'],
      additionalProperties: false,
    };
    const format = { name: 'entry', description: 'An entry of a dictionary', schema, strict: true };
    const echo = 'ECHO PROMPT AS JSON';
    const promptInJson = async (path: string, body: object): Promise<string> => {
      const answer = (await (await post(server, path, { temperature: 0, ...body })).json()) as {
        choices?: { message: { content: string } }[];
        output_text?: string;
      };
      const json = answer.choices?.[0]?.message.content ?? answer.output_text ?? '';
      return echoed((JSON.parse(json) as { prompt: string }).prompt);
    };
    const chat = (response_format: object): Promise<string> =>
      promptInJson(CHAT, { messages: [user(echo)], response_format });
    const responses = (given: object): Promise<string> =>
      promptInJson(RESPONSES, { input: echo, text: { format: given } });
    const told = `# Response Formats\n\n## entry\n\n// An entry of a dictionary\n${JSON.stringify(schema)}<|end|>`;
    for (const prompt of [
      await chat({ type: 'json_schema', json_schema: format }),
      await responses({ type: 'json_schema', ...format }),
    ]) {
      assert.ok(prompt.includes(told), prompt);
    }
    for (const prompt of [await chat({ type: 'json_object' }), await responses({ type: 'json_object' })]) {
      assert.doesNotMatch(prompt, /Response Formats/);
    }
  });

  it('say how much to reason', async () => {
    const efforts = {
      none: 'low',
      minimal: 'low',
      low: 'low',
      medium: 'medium',
      high: 'high',
      xhigh: 'high',
      max: 'high',
    };
    for (const [effort, said] of Object.entries(efforts)) {
      const chat = await promptOf(CHAT, { messages: [user('ECHO PROMPT')], reasoning_effort: effort });
      assert.match(chat, new RegExp(`^Reasoning: ${said}$`, 'm'), effort);
      const responses = await promptOf(RESPONSES, { input: 'ECHO PROMPT', reasoning: { effort } });
      assert.match(responses, new RegExp(`^Reasoning: ${said}$`, 'm'), effort);
    }
    assert.match(await promptOf(CHAT, { messages: [user('ECHO PROMPT')] }), /^Reasoning: medium$/m);
  });

  it('declare the tools, but not where none may be called', async () => {
    const messages = [user('ECHO PROMPT')];
    const auto = await promptOf(CHAT, { messages, tools: CHAT_TOOLS });
    assert.match(auto, /\/\/ Get the weather of a place\ntype get_weather = \(_: \{/);
    const none = await promptOf(CHAT, { messages, tools: CHAT_TOOLS, tool_choice: 'none' });
    assert.doesNotMatch(none, /get_weather/);
  });

  it('take every special token in a text as text, wherever the text stands', async () => {
    const snapshot = await openSnapshot();
    const special = snapshot.tokenizer.specialTokens;
    const ids = new Set(special.values());
    const specialsOf = async (text: string): Promise<number[]> => {
      const response = await post(server, '/tokenize', {
        tools: [{ type: 'function', function: { name: 'f', description: text, parameters: { description: text } } }],
        messages: [
          { role: 'system', content: text },
          { role: 'developer', content: text },
          { role: 'user', content: [{ type: 'text', text }] },
          {
            role: 'assistant',
            reasoning: text,
            content: text,
            tool_calls: [{ id: text, function: { name: 'f', arguments: text } }],
          },
          { role: 'tool', tool_call_id: text, content: text },
        ],
      });
      const { tokens } = (await response.json()) as { tokens: number[] };
      return tokens.filter((id) => ids.has(id));
    };
    const expected = await specialsOf('plain text');
    assert.ok(expected.length > 20);
    for (const name of special.keys()) assert.deepEqual(await specialsOf(`x${name}y`), expected, name);
    snapshot.dispose();
  });
});

describe('parallel calls', () => {
  const one = '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>';
  const ANSWER = `<|channel|>analysis<|message|>Both.<|end|><|start|>assistant${one}{"location":"Paris"}<|end|><|start|>assistant${one}{"location":"Rome"}<|call|>`;
  const messages = [user(scripted(ANSWER))];
  let server: RunningServer;
  before(async () => {
    server = await startScriptedServer();
    await server.ready;
  });
  after(() => server.close());

  interface Call {
    readonly index?: number;
    readonly id?: string;
    readonly function: { readonly name?: string; readonly arguments: string };
  }
  const arguments_ = (calls: readonly Call[]): string[] => calls.map((made) => made.function.arguments);

  it('come one by one, whole and streamed, with ids of their own; parallel_tool_calls: false lets one through', async () => {
    const ask = async (more: object): Promise<Call[]> => {
      const response = await post(server, CHAT, { messages, tools: CHAT_TOOLS, temperature: 0, ...more });
      const { choices } = (await response.json()) as {
        choices: { finish_reason: string; message: { tool_calls: Call[] } }[];
      };
      assert.equal(choices[0]?.finish_reason, 'tool_calls');
      return choices[0].message.tool_calls;
    };
    const both = await ask({});
    assert.deepEqual(arguments_(both), ['{"location":"Paris"}', '{"location":"Rome"}']);
    assert.notEqual(both[0]?.id, both[1]?.id);
    assert.deepEqual(arguments_(await ask({ parallel_tool_calls: false })), ['{"location":"Paris"}']);

    const streamed = async (more: object): Promise<{ id: string; text: string }[]> => {
      const response = await post(server, CHAT, { messages, tools: CHAT_TOOLS, temperature: 0, stream: true, ...more });
      const calls: { id: string; text: string }[] = [];
      for (const [, json] of (await response.text()).matchAll(/^data: (\{.*\})$/gm)) {
        const chunk = JSON.parse(json ?? '') as { choices: { delta: { tool_calls?: Call[] } }[] };
        for (const piece of chunk.choices[0]?.delta.tool_calls ?? []) {
          const made = (calls[piece.index ?? 0] ??= { id: piece.id ?? '', text: '' });
          made.text += piece.function.arguments;
        }
      }
      return calls;
    };
    const pieces = await streamed({});
    assert.deepEqual(
      pieces.map(({ text }) => text),
      ['{"location":"Paris"}', '{"location":"Rome"}'],
    );
    assert.equal(new Set(pieces.map(({ id }) => id)).size, 2);
    assert.equal((await streamed({ parallel_tool_calls: false })).length, 1);
  });

  it('are items of their own in responses', async () => {
    const ask = async (more: object): Promise<string[]> => {
      const body = { input: messages, tools: RESPONSES_TOOLS, temperature: 0, ...more };
      const { output } = (await (await post(server, RESPONSES, body)).json()) as {
        output: { type: string; arguments?: string }[];
      };
      return output.map((item) => item.arguments ?? item.type);
    };
    assert.deepEqual(await ask({}), ['reasoning', '{"location":"Paris"}', '{"location":"Rome"}']);
    assert.deepEqual(await ask({ parallel_tool_calls: false }), ['reasoning', '{"location":"Paris"}']);
  });
});
