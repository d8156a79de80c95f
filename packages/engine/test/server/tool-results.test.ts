import assert from 'node:assert/strict';
import type { RunningServer } from '../../src/server/start-server.ts';
import { echoed, errorOf, post, startScriptedServer } from './test-server.ts';

const CALLS = ['a', 'b', 'c'] as const;
const permutations = <Item>(items: readonly Item[]): Item[][] =>
  items.length < 2
    ? [[...items]]
    : items.flatMap((item, index) => permutations(items.toSpliced(index, 1)).map((rest) => [item, ...rest]));

describe('results belong to calls by id', () => {
  let server: RunningServer;
  before(async () => {
    server = await startScriptedServer();
    await server.ready;
  });
  after(() => server.close());

  const TOOLS = [{ type: 'function', name: 'f', parameters: { type: 'object', properties: {} } }];
  const call = (id: string) => ({ type: 'function_call', call_id: id, name: 'f', arguments: `{"call":"${id}"}` });
  const output = (id: string) => ({ type: 'function_call_output', call_id: id, output: `result of ${id}` });
  const user = (content: string) => ({ role: 'user', content });

  /** The results in the order in which the model reads them. */
  const resultsRead = (prompt: string): string[] => [...prompt.matchAll(/result of (\w)/g)].map(([, id]) => id ?? '');

  it('in Responses, in any order and with messages between', async () => {
    for (const order of permutations(CALLS)) {
      for (const between of [[], [user('meanwhile')]]) {
        const input = [user('ECHO PROMPT'), ...CALLS.map(call), ...between, ...order.map(output)];
        const response = await post(server, '/v1/responses', { input, tools: TOOLS });
        const { output_text: answer } = (await response.json()) as { output_text: string };
        const prompt = echoed(answer);
        assert.deepEqual(resultsRead(prompt), [...CALLS], prompt);
      }
    }
  });

  it('in chat completions, in any order and with messages between', async () => {
    for (const order of permutations(CALLS)) {
      const messages = [
        user('ECHO PROMPT'),
        {
          role: 'assistant',
          content: null,
          tool_calls: CALLS.map((id) => ({ id, type: 'function', function: { name: 'f', arguments: '{}' } })),
        },
        ...order.map((id) => ({ role: 'tool', tool_call_id: id, content: `result of ${id}` })),
      ];
      const response = await post(server, '/v1/chat/completions', { messages });
      const { choices } = (await response.json()) as { choices: { message: { content: string } }[] };
      assert.deepEqual(resultsRead(echoed(choices[0]?.message.content)), [...CALLS]);
    }
  });

  it('in messages of Anthropic, in any order', async () => {
    for (const order of permutations(CALLS)) {
      const messages = [
        user('ECHO PROMPT'),
        { role: 'assistant', content: CALLS.map((id) => ({ type: 'tool_use', id, name: 'f', input: {} })) },
        {
          role: 'user',
          content: order.map((id) => ({ type: 'tool_result', tool_use_id: id, content: `result of ${id}` })),
        },
      ];
      const response = await post(server, '/v1/messages', { messages, max_tokens: 10_000 });
      const { content } = (await response.json()) as { content: { text: string }[] };
      assert.deepEqual(resultsRead(echoed(content[0]?.text)), [...CALLS]);
    }
  });

  it('and a result without its call, or a call without its result, is a 400 that names it', async () => {
    const cases: readonly [input: object[], param: RegExp, message: RegExp][] = [
      [[user('x'), output('a')], /^input\[1\]\.call_id$/, /belongs to no call.*"a"/],
      [[user('x'), call('a'), output('b')], /^input\[2\]\.call_id$/, /belongs to no call.*"b"/],
      [[user('x'), call('a'), output('a'), output('a')], /^input$/, /waits for a result.*"a"/],
      [[user('x'), call('a'), user('y')], /^input$/, /result is missing.*"a"/],
      [[user('x'), call('a'), call('b'), output('a')], /^input$/, /result is missing.*"b"/],
    ];
    for (const [input, param, message] of cases) {
      const response = await post(server, '/v1/responses', { input, tools: TOOLS });
      const error = await errorOf(response);
      assert.equal(response.status, 400, error.message);
      assert.match(error.param ?? '', param);
      assert.match(error.message, message);
    }
  });
});
