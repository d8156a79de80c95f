import assert from 'node:assert/strict';
import { Agent, OpenAIProvider, Runner, tool } from '@openai/agents';
import type OpenAI from 'openai';
import { z } from 'zod';
import type { RunningServer } from '../../src/server/start-server.ts';
import { clientOf, startModelServer, untilMetric } from './test-server.ts';

const MODEL = 'pocket-dictionary';
const QUESTION = 'What is a lighthouse?';
const ANSWER = 'Lighthouse: a tower with a light that gives warning of shoals to passing ships.';
const WEATHER: OpenAI.Responses.FunctionTool = {
  type: 'function',
  name: 'get_weather',
  description: 'Get the weather for a given location',
  strict: true,
  parameters: {
    type: 'object',
    properties: { location: { type: 'string' } },
    required: ['location'],
    additionalProperties: false,
  },
};

describe('responses through the openai package', () => {
  let server: RunningServer;
  let client: OpenAI;

  before(async () => {
    server = await startModelServer();
    client = clientOf(server);
  });
  after(() => server.close());

  it('answers with a reasoning item and a message', async () => {
    const response = await client.responses.create({ model: MODEL, input: QUESTION, temperature: 0 });
    assert.equal(response.status, 'completed');
    assert.equal(response.output_text, ANSWER);
    assert.deepEqual(
      response.output.map(({ type }) => type),
      ['reasoning', 'message'],
    );
    assert.notEqual(response.usage?.output_tokens_details.reasoning_tokens, 0);
  });

  it('streams the same, every item opened and closed, sequence numbers without a gap', async () => {
    const stream = client.responses.stream({ model: MODEL, input: QUESTION, temperature: 0 });
    const types: string[] = [];
    let expected = 0;
    for await (const event of stream) {
      types.push(event.type);
      assert.equal(event.sequence_number, expected);
      expected += 1;
    }
    const final = await stream.finalResponse();
    assert.equal(final.output_text, ANSWER);
    assert.equal(types[0], 'response.created');
    assert.equal(types.at(-1), 'response.completed');
    for (const type of ['response.reasoning_text.delta', 'response.output_text.delta', 'response.output_text.done']) {
      assert.equal(types.includes(type), true, type);
    }
  });

  it('runs a tool loop with its reasoning items sent back', async () => {
    const input: OpenAI.Responses.ResponseInputItem[] = [{ role: 'user', content: 'What is the weather in Paris?' }];
    const request = { model: MODEL, temperature: 0, tools: [WEATHER] };
    const first = await client.responses.create({ ...request, input });
    const call = first.output.find((item) => item.type === 'function_call');
    assert.equal(call?.name, 'get_weather');
    input.push(...(first.output as OpenAI.Responses.ResponseInputItem[]), {
      type: 'function_call_output',
      call_id: call.call_id,
      output: '{"temperature": 21, "condition": "sunny"}',
    });
    const second = await client.responses.create({ ...request, input });
    assert.match(second.output_text, /21/);
  });

  it('streams a tool call and says when the answer was cut', async () => {
    const stream = client.responses.stream({
      model: MODEL,
      temperature: 0,
      tools: [WEATHER],
      tool_choice: 'required',
      input: 'What is the weather in Paris?',
    });
    const final = await stream.finalResponse();
    const call = final.output.find((item) => item.type === 'function_call');
    assert.deepEqual(JSON.parse(call?.arguments ?? ''), { location: 'Paris' });
    const cut = await client.responses.create({ model: MODEL, input: QUESTION, temperature: 0, max_output_tokens: 3 });
    assert.equal(cut.status, 'incomplete');
    assert.equal(cut.incomplete_details?.reason, 'max_output_tokens');
  });

  it('holds the text to a JSON schema', async () => {
    const response = await client.responses.create({
      model: MODEL,
      input: QUESTION,
      temperature: 0,
      text: {
        format: {
          type: 'json_schema',
          name: 'entry',
          strict: true,
          schema: {
            type: 'object',
            properties: { known: { type: 'boolean' } },
            required: ['known'],
            additionalProperties: false,
          },
        },
      },
    });
    assert.equal(typeof (JSON.parse(response.output_text) as { known: unknown }).known, 'boolean');
  });

  it('tells log-probabilities of the text, streamed or not', async () => {
    const request = { model: MODEL, input: 'What is 17 + 25?', temperature: 0, top_logprobs: 2 } as const;
    const tokensOf = (response: OpenAI.Responses.Response) =>
      response.output.flatMap((item) =>
        item.type === 'message'
          ? item.content.flatMap((part) => (part.type === 'output_text' ? (part.logprobs ?? []) : []))
          : [],
      );
    const whole = tokensOf(await client.responses.create({ ...request, include: ['message.output_text.logprobs'] }));
    assert.equal(whole.map(({ token }) => token).join(''), '42');
    for (const { token, logprob, top_logprobs: rivals } of whole) {
      assert.ok(logprob <= 0);
      assert.deepEqual([rivals.length, rivals[0]?.token], [2, token]);
    }
    const stream = client.responses.stream({ ...request, include: ['message.output_text.logprobs'] });
    const streamed = tokensOf(await stream.finalResponse());
    assert.equal(streamed.length, whole.length);
    for (const [index, { token, logprob }] of whole.entries()) {
      assert.equal(streamed[index]?.token, token);
      // The second time, the prompt's beginning comes from the prefix cache, which rounds otherwise.
      assert.ok(Math.abs((streamed[index]?.logprob ?? 0) - logprob) < 1e-5);
    }
    const without = await client.responses.create({ model: MODEL, input: 'What is 17 + 25?', temperature: 0 });
    assert.deepEqual(tokensOf(without), []);
  });

  it('stops computing when the client aborts, streamed or not', async () => {
    const endless = Object.assign(
      { model: MODEL, input: 'Tell me about ships.', temperature: 0 },
      { ignore_eos: true },
    );
    const controller = new AbortController();
    const stream = await client.responses.create({ ...endless, stream: true }, { signal: controller.signal });
    let events = 0;
    for await (const _event of stream) if ((events += 1) === 6) controller.abort();
    assert.ok(events < 60);
    await untilMetric(server, 'vllm:num_requests_running', 0);
    await assert.rejects(client.responses.create(endless, { signal: AbortSignal.timeout(300) }), {
      message: 'Request was aborted.',
    });
    await untilMetric(server, 'vllm:num_requests_running', 0);
  });

  it('obeys tool_choice: named and none, and max_output_tokens', async () => {
    const lookup = { ...WEATHER, name: 'look_up' };
    const ask = async (tool_choice: OpenAI.Responses.ResponseCreateParams['tool_choice']): Promise<string[]> => {
      const request = { model: MODEL, input: QUESTION, temperature: 0, tools: [WEATHER, lookup], tool_choice };
      const { output } = await client.responses.create(request as OpenAI.Responses.ResponseCreateParamsNonStreaming);
      return output.map((item) => (item.type === 'function_call' ? item.name : item.type));
    };
    assert.deepEqual(await ask({ type: 'function', name: 'look_up' }), ['reasoning', 'look_up']);
    assert.deepEqual(await ask('none'), ['reasoning', 'message']);
  });

  for (const api of ['responses', 'chat'] as const) {
    it(`serves an agent with a tool from @openai/agents over ${api}, streamed and not`, async () => {
      const asked: string[] = [];
      const weather = tool({
        name: 'get_weather',
        description: 'Get the weather for a given location',
        parameters: z.object({ location: z.string() }),
        execute: async ({ location }) => {
          asked.push(location);
          return '{"temperature": 21, "condition": "sunny"}';
        },
      });
      const agent = new Agent({
        name: 'weather',
        model: MODEL,
        tools: [weather],
        modelSettings: { temperature: 0, toolChoice: 'auto' },
      });
      const sent: unknown[] = [];
      const runner = new Runner({
        modelProvider: new OpenAIProvider({
          openAIClient: clientOf(server, 'none', sent),
          useResponses: api === 'responses',
        }),
        tracingDisabled: true,
      });
      const whole = await runner.run(agent, 'What is the weather in Paris?');
      assert.match(String(whole.finalOutput), /21/);
      const streamed = await runner.run(agent, 'What is the weather in Paris?', { stream: true });
      for await (const _event of streamed) void _event;
      await streamed.completed;
      assert.equal(streamed.finalOutput, whole.finalOutput);
      assert.deepEqual(asked, ['Paris', 'Paris']);
      assert.equal(sent.length, 4);
      if (api === 'chat') return;
      // The agent's memory brings the reasoning back with the call that it led to.
      assert.deepEqual(
        whole.newItems.map(({ type }) => type),
        ['reasoning_item', 'tool_call_item', 'tool_call_output_item', 'reasoning_item', 'message_output_item'],
      );
      for (const body of [sent[1], sent[3]]) {
        const { input } = body as { input: { type?: string; content?: { text: string }[] }[] };
        assert.deepEqual(
          input.map(({ type }) => type ?? 'message'),
          ['message', 'reasoning', 'function_call', 'function_call_output'],
        );
        assert.ok((input[1]?.content?.[0]?.text ?? '').length > 0, JSON.stringify(input[1]));
      }
    });

    it(`ends an agent's request when its run is aborted, over ${api}`, async () => {
      const agent = new Agent({
        name: 'endless',
        model: MODEL,
        modelSettings: { temperature: 0, providerData: { ignore_eos: true } },
      });
      const runner = new Runner({
        modelProvider: new OpenAIProvider({ openAIClient: client, useResponses: api === 'responses' }),
        tracingDisabled: true,
      });
      const controller = new AbortController();
      const streamed = await runner.run(agent, 'Tell me about ships.', { stream: true, signal: controller.signal });
      let events = 0;
      try {
        for await (const _event of streamed) if ((events += 1) === 8) controller.abort();
      } catch (error) {
        assert.equal((error as Error).name, 'AbortError');
      }
      assert.ok(events >= 8 && events < 200, `${events} events`);
      await untilMetric(server, 'vllm:num_requests_running', 0);
    });
  }
});
