import assert from 'node:assert/strict';
import type OpenAI from 'openai';
import { PATCH_GRAMMAR } from '../fixtures/patch-grammar.ts';
import type { RunningServer } from '../../src/server/start-server.ts';
import { clientOf, echoed, errorOf, post, scripted, startScriptedServer } from './test-server.ts';

const MODEL = 'scripted';
const INPUT = '*** Begin Patch\n"quotes", é🧀 and \\ backslashes\n*** End Patch';
const callOf = (name: string, args: object): string =>
  scripted(`<|channel|>commentary to=functions.${name} <|constrain|>json<|message|>${JSON.stringify(args)}<|call|>`);
const PATCH_DEFINITION = `start: "*** Begin Patch" LF line+ "*** End Patch"
line: /[^*\\n].*/ LF
%import common.LF`;
const PATCH = {
  type: 'custom' as const,
  name: 'apply_patch',
  description: 'Edit files',
  format: { type: 'grammar' as const, syntax: 'lark' as const, definition: PATCH_DEFINITION },
};
const LOOKUP = {
  type: 'function' as const,
  name: 'look_up',
  strict: false,
  parameters: { type: 'object', properties: {} },
};

describe('kinds of tools', () => {
  let server: RunningServer;
  let client: OpenAI;
  before(async () => {
    server = await startScriptedServer();
    await server.ready;
    client = clientOf(server);
  });
  after(() => server.close());

  /** What the model reads of a request that makes it echo its prompt. */
  const promptOf = async (body: object): Promise<string> => {
    const response = await post(server, '/v1/responses', { input: 'ECHO PROMPT', ...body });
    return echoed(((await response.json()) as { output_text: string }).output_text);
  };

  it('custom: free text comes out whole in Responses, streamed or not, and goes back in', async () => {
    const request = { model: MODEL, input: callOf('apply_patch', { input: INPUT }), tools: [PATCH] };
    const whole = await client.responses.create(request);
    const [call] = whole.output;
    assert.ok(call?.type === 'custom_tool_call');
    assert.deepEqual([call.name, call.input], ['apply_patch', INPUT]);
    let streamed = '';
    let done: OpenAI.Responses.ResponseOutputItem | null = null;
    for await (const event of await client.responses.create({ ...request, stream: true })) {
      if (event.type === 'response.custom_tool_call_input.delta') streamed += event.delta;
      if (event.type === 'response.output_item.done') done = event.item;
    }
    assert.ok(done?.type === 'custom_tool_call');
    assert.deepEqual([streamed, done.input], [INPUT, INPUT]);
    const prompt = await promptOf({
      input: [
        { role: 'user', content: 'ECHO PROMPT' },
        call,
        { type: 'custom_tool_call_output', call_id: call.call_id, output: 'applied' },
      ],
      tools: [PATCH],
    });
    assert.ok(
      prompt.includes(
        `to=functions.apply_patch <|constrain|>json<|message|>${JSON.stringify({ input: INPUT })}<|call|>`,
      ),
      prompt,
    );
    assert.match(prompt, /functions\.apply_patch to=assistant<\|channel\|>commentary<\|message\|>applied/);
    assert.match(prompt, /Edit files\n.*lark grammar:\n.*start: "\*\*\* Begin Patch" LF line\+/s);
  });

  it('custom: free text comes out whole in chat completions, streamed or not, and goes back in', async () => {
    const tools: OpenAI.ChatCompletionTool[] = [{ type: 'custom', custom: { name: 'apply_patch' } }];
    const request = {
      model: MODEL,
      messages: [{ role: 'user' as const, content: callOf('apply_patch', { input: INPUT }) }],
      tools,
    };
    const { choices } = await client.chat.completions.create(request);
    const [call] = choices[0]?.message.tool_calls ?? [];
    assert.ok(call?.type === 'custom');
    assert.equal(call.custom.input, INPUT);
    const pieces: object[] = [];
    for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) {
      pieces.push(...(chunk.choices[0]?.delta.tool_calls ?? []));
    }
    assert.deepEqual(
      pieces.map((piece) => ({ ...piece, id: '' })),
      [{ index: 0, id: '', type: 'custom', custom: { name: 'apply_patch', input: INPUT } }],
    );
    const answer = await client.chat.completions.create({
      ...request,
      messages: [
        { role: 'user', content: 'ECHO PROMPT' },
        { role: 'assistant', tool_calls: [call] },
        { role: 'tool', tool_call_id: call.id, content: 'applied' },
      ],
    });
    const prompt = echoed(answer.choices[0]?.message.content);
    assert.ok(prompt.includes(JSON.stringify({ input: INPUT })), prompt);
  });

  it('custom: the model cannot write anything but one text', async () => {
    const request = { model: MODEL, input: callOf('apply_patch', { other: 7 }), tools: [PATCH] };
    const [call] = (await client.responses.create({ ...request, max_output_tokens: 200 })).output;
    assert.ok(call?.type === 'custom_tool_call');
    assert.doesNotMatch(call.input, /"other"\s*:/);
  });

  const formats = [
    { type: 'grammar' as const, syntax: 'regex' as const, definition: 'yes|no' },
    { type: 'grammar' as const, syntax: 'lark' as const, definition: 'start: "yes" | "no"' },
  ];

  it('custom: a text is held to its grammar, in Responses and in chat completions', async () => {
    const content = callOf('answer', { input: 'maybe' });
    for (const { type, ...grammar } of formats) {
      const custom = { name: 'answer', format: { type, grammar } };
      const { choices } = await client.chat.completions.create({
        model: MODEL,
        messages: [{ role: 'user', content }],
        tools: [{ type: 'custom', custom }],
      });
      const [chatCall] = choices[0]?.message.tool_calls ?? [];
      assert.ok(chatCall?.type === 'custom');
      assert.match(chatCall.custom.input, /^(?:yes|no)$/);
      const tools = [{ type: 'custom' as const, name: 'answer', format: { type, ...grammar } }];
      for (const tool_choice of ['auto', 'required', { type: 'custom', name: 'answer' }] as const) {
        const [call] = (await client.responses.create({ model: MODEL, input: content, tools, tool_choice })).output;
        assert.ok(call?.type === 'custom_tool_call');
        assert.match(call.input, /^(?:yes|no)$/);
      }
    }
  });

  it('custom: grammars of agents are followed by what the model writes', async () => {
    const text = '*** Begin Patch\n*** Update File: a.ts\n@@\n-"old" \\ é\n+new\n*** End Patch\n';
    const format = { type: 'grammar' as const, syntax: 'lark' as const, definition: PATCH_GRAMMAR };
    const { output } = await client.responses.create({
      model: MODEL,
      input: callOf('apply_patch', { input: text }),
      tools: [{ type: 'custom', name: 'apply_patch', format }],
    });
    const [call] = output;
    assert.ok(call?.type === 'custom_tool_call');
    assert.equal(call.input, text);
  });

  it('custom: brackets inside one another are followed by what the model writes', async () => {
    const definition = 'start: sum\nsum: item (/ ?[+-] ?/ item)*\nitem: /[0-9]+|"\\w*"/ | "(" sum ")"';
    const format = { type: 'grammar' as const, syntax: 'lark' as const, definition };
    const ask = async (input: string): Promise<string> => {
      const { output } = await client.responses.create({
        model: MODEL,
        input: callOf('calculate', { input }),
        max_output_tokens: 200,
        tools: [{ type: 'custom', name: 'calculate', format }],
      });
      const [call] = output;
      assert.ok(call?.type === 'custom_tool_call');
      return call.input;
    };
    assert.equal(await ask('(1 + ("x"-((22)))) - 3'), '(1 + ("x"-((22)))) - 3');
    assert.doesNotMatch(await ask('(1))) + 2'), /^\(1\)\)/);
  });

  it('custom: a grammar that cannot be enforced is refused by its field, with what is in the way', async () => {
    const functionOf = (name: string, parameters: object) => ({ type: 'function', name, strict: true, parameters });
    const cases: readonly (readonly [definition: string, syntax: string, message: RegExp])[] = [
      ['start: "(" start ")"', 'lark', /start, whose texts never end/],
      ['start: nothing', 'lark', /nothing, which is not defined/],
      ['(?i)yes', 'regex', /\(\?i/],
      ['(yes', 'regex', /Unterminated group/],
      ['[^\\s\\S]', 'regex', /no value/],
    ];
    for (const [definition, syntax, message] of cases) {
      const format = { type: 'grammar', syntax, definition };
      const custom = { type: 'custom', name: 'answer', format };
      const chatCustom = {
        type: 'custom',
        custom: { name: 'answer', format: { type: 'grammar', grammar: { syntax, definition } } },
      };
      const bodies: readonly (readonly [path: string, body: object, param: string])[] = [
        ['/v1/responses', { tools: [{ type: 'web_search' }, custom] }, 'tools[1].format.definition'],
        [
          '/v1/responses',
          { tools: [{ type: 'namespace', name: 'n', tools: [LOOKUP, custom] }] },
          'tools[0].tools[1].format.definition',
        ],
        [
          '/v1/responses',
          {
            input: [
              { role: 'user', content: 'x' },
              { type: 'additional_tools', role: 'developer', tools: [custom] },
            ],
          },
          'input[1].tools[0].format.definition',
        ],
        ['/v1/chat/completions', { tools: [chatCustom] }, 'tools[0].custom.format.grammar.definition'],
      ];
      for (const [path, body, param] of bodies) {
        const given = { input: 'x', messages: [{ role: 'user', content: 'x' }], ...body };
        const response = await post(server, path, given);
        const error = await errorOf(response);
        assert.deepEqual([response.status, error.param], [400, param], error.message);
        assert.match(error.message, message);
      }
    }
    for (const [tools, param] of [
      [
        [{ type: 'custom', name: 'a', format: { type: 'grammar', syntax: 'ebnf', definition: 'x' } }],
        'tools[0].format.syntax',
      ],
      [[{ type: 'custom', name: 'a', format: { type: 'grammar', syntax: 'lark' } }], 'tools[0].format.definition'],
      [[{ type: 'custom', name: 'a', format: { type: 'gbnf' } }], 'tools[0].format.type'],
      // Of functions the same: their schema is found where the request has it.
      [[{ type: 'web_search' }, functionOf('f', { type: 'strange' })], 'tools[1].parameters'],
    ] as const) {
      const response = await post(server, '/v1/responses', { input: 'x', tools });
      const error = await errorOf(response);
      assert.deepEqual([response.status, error.param], [400, param], error.message);
    }
    const allowed = await post(server, '/v1/responses', {
      input: 'x',
      tools: [functionOf('f', { type: 'object' }), functionOf('g', { type: 'strange' })],
      tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [{ type: 'function', name: 'g' }] },
    });
    assert.equal((await errorOf(allowed)).param, 'tools[1].parameters');
  });

  it('strict ones are held to their schema by whatever header they are called', async () => {
    const strict = {
      type: 'function' as const,
      name: 'look_up',
      strict: true,
      parameters: { type: 'object', properties: { n: { const: 7 } }, required: ['n'], additionalProperties: false },
    };
    const headers = [
      '<|channel|>commentary to=functions.look_up <|constrain|>json',
      '<|channel|>analysis to=look_up code',
      '<|channel|>commentary to=repo.look_up json',
      '<|start|>look_up<|channel|>commentary',
      '<|start|>functions.look_up<|channel|>commentary json',
    ];
    for (const header of headers) {
      const input = scripted(`${header}<|message|>{"wrong":"words"}<|call|>`);
      const [call] = (await client.responses.create({ model: MODEL, input, tools: [strict] })).output;
      assert.ok(call?.type === 'function_call', header);
      assert.deepEqual(JSON.parse(call.arguments), { n: 7 }, header);
    }
  });

  it('strict ones are not called where nothing could hold them: their arguments are reasoning', async () => {
    const strict = {
      ...LOOKUP,
      strict: true,
      parameters: { type: 'object', additionalProperties: false, properties: {} },
    };
    for (const header of [
      '<|channel|>commentary to=functions.look_up json',
      '<|channel|>commentary to=functions.look_up ',
    ]) {
      const input = scripted(`${header}{"wrong":"words"}<|call|>`);
      const described = async (tools: OpenAI.Responses.Tool[]): Promise<string[]> =>
        (await client.responses.create({ model: MODEL, input, tools })).output.map(({ type }) => type);
      assert.deepEqual(await described([strict]), ['reasoning'], header);
      assert.deepEqual(await described([LOOKUP]), ['function_call'], header);
    }
  });

  it('hosted ones are left out of the prompt, functions beside them stay', async () => {
    const hosted = ['web_search', 'local_shell', 'file_search', 'code_interpreter', 'image_generation', 'mcp'].map(
      (type) => ({ type }),
    );
    const prompt = await promptOf({ tools: [...hosted, LOOKUP] });
    assert.match(prompt, /type look_up = /);
    for (const { type } of hosted) assert.ok(!prompt.includes(type), type);
    assert.doesNotMatch(await promptOf({ tools: hosted }), /# Tools/);
  });

  it('namespaces are flattened, and their calls come back with them', async () => {
    const crm = {
      type: 'namespace' as const,
      name: 'crm',
      description: 'Customers',
      tools: [LOOKUP, { ...LOOKUP, name: 'add' }],
    };
    const shop = { type: 'namespace' as const, name: 'shop', description: 'Goods', tools: [LOOKUP] };
    const ask = async (name: string, tools: OpenAI.Responses.Tool[]) => {
      const { output } = await client.responses.create({ model: MODEL, input: callOf(name, {}), tools });
      return output.flatMap((item) => (item.type === 'function_call' ? [`${item.namespace ?? ''}/${item.name}`] : []));
    };
    assert.deepEqual(await ask('add', [crm, shop]), ['crm/add']);
    assert.deepEqual(await ask('look_up', [crm, shop]), ['crm/look_up']);
    assert.deepEqual(await ask('shop__look_up', [crm, shop]), ['shop/look_up']);
    assert.deepEqual(await ask('look_up', [crm, LOOKUP]), ['/look_up']);
    const prompt = await promptOf({
      tools: [crm, shop],
      input: [
        { role: 'user', content: 'ECHO PROMPT' },
        { type: 'function_call', call_id: 'c', name: 'look_up', namespace: 'shop', arguments: '{}' },
        { type: 'function_call_output', call_id: 'c', output: 'ok' },
      ],
    });
    assert.match(prompt, /to=functions\.shop__look_up/);
  });

  it('that come with the conversation count as those of the request', async () => {
    const input = [
      { type: 'additional_tools', role: 'developer', tools: [LOOKUP] },
      { role: 'user', content: callOf('look_up', {}) },
    ];
    const response = await post(server, '/v1/responses', { input });
    const { output } = (await response.json()) as { output: { type: string }[] };
    assert.deepEqual(
      output.map(({ type }) => type),
      ['function_call'],
    );
  });

  it('allowed_tools are the only ones that the model is told of and may call', async () => {
    const tools = [LOOKUP, { ...LOOKUP, name: 'other' }];
    const allow = (mode: string, ...names: string[]) => ({
      type: 'allowed_tools',
      mode,
      tools: [...names.map((name) => ({ type: 'function', name })), { type: 'web_search' }],
    });
    const prompt = await promptOf({ tools, tool_choice: allow('auto', 'look_up') });
    assert.match(prompt, /type look_up = /);
    assert.doesNotMatch(prompt, /type other = /);
    const response = await post(server, '/v1/responses', {
      input: callOf('other', {}),
      tools,
      tool_choice: allow('auto', 'look_up'),
    });
    assert.deepEqual(
      ((await response.json()) as { output: { type: string }[] }).output.map(({ type }) => type),
      ['reasoning'],
    );
    const chatTools = tools.map(({ name, parameters }) => ({
      type: 'function' as const,
      function: { name, parameters },
    }));
    const required = await client.chat.completions.create({
      model: MODEL,
      messages: [{ role: 'user', content: scripted('no call at all') }],
      tools: chatTools,
      tool_choice: {
        type: 'allowed_tools',
        allowed_tools: { mode: 'required', tools: [{ type: 'function', function: { name: 'other' } }] },
      },
    });
    const [call] = required.choices[0]?.message.tool_calls ?? [];
    assert.ok(call?.type === 'function' && call.function.name === 'other');
    for (const tool_choice of [allow('auto', 'unknown'), allow('required'), { type: 'custom', name: 'unknown' }]) {
      const error = await errorOf(await post(server, '/v1/responses', { input: 'x', tools, tool_choice }));
      assert.equal(error.param, 'tool_choice', error.message);
    }
  });

  it('reasoning.summary: reasoning items have a summary, and its events, where one is asked for', async () => {
    const input = scripted(
      '<|channel|>analysis<|message|>a thought<|end|><|start|>assistant<|channel|>final<|message|>so',
    );
    for (const summary of ['auto', 'concise', 'detailed'] as const) {
      const stream = client.responses.stream({ model: MODEL, input, reasoning: { summary } });
      const types: string[] = [];
      let text = '';
      for await (const event of stream) {
        types.push(event.type);
        if (event.type === 'response.reasoning_summary_text.delta') text += event.delta;
      }
      assert.equal(text, 'a thought');
      for (const type of [
        'response.reasoning_summary_part.added',
        'response.reasoning_summary_text.done',
        'response.reasoning_summary_part.done',
      ]) {
        assert.equal(types.filter((other) => other === type).length, 1, type);
      }
      const [item] = (await stream.finalResponse()).output;
      assert.ok(item?.type === 'reasoning');
      assert.deepEqual(item.summary, [{ type: 'summary_text', text: 'a thought' }]);
    }
    const [plain] = (await client.responses.create({ model: MODEL, input })).output;
    assert.ok(plain?.type === 'reasoning');
    assert.deepEqual(plain.summary, []);
  });
});
