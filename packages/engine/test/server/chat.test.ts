import assert from 'node:assert/strict';
import type OpenAI from 'openai';
import type { RunningServer } from '../../src/server/start-server.ts';
import { clientOf, startModelServer, untilMetric } from './test-server.ts';

const MODEL = 'pocket-dictionary';
const QUESTION = 'What is a lighthouse?';
const ANSWER = 'Lighthouse: a tower with a light that gives warning of shoals to passing ships.';

const WEATHER: OpenAI.ChatCompletionTool = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'Get the weather of a place',
    parameters: {
      type: 'object',
      properties: { location: { type: 'string' } },
      required: ['location'],
      additionalProperties: false,
    },
  },
};

/** The fields beside OpenAI's own. */
interface Reasoning {
  readonly reasoning?: string | null;
  readonly reasoning_content?: string | null;
}

describe('chat completions through the openai package', () => {
  let server: RunningServer;
  let client: OpenAI;

  before(async () => {
    server = await startModelServer();
    client = clientOf(server);
  });
  after(() => server.close());

  const user = (content: string): OpenAI.ChatCompletionMessageParam => ({ role: 'user', content });
  const greedy = { model: MODEL, temperature: 0 } as const;

  it('answers a dictionary question, with its reasoning and usage', async () => {
    const answer = await client.chat.completions.create({ ...greedy, messages: [user(QUESTION)] });
    const [choice] = answer.choices;
    assert.equal(answer.object, 'chat.completion');
    assert.equal(answer.model, MODEL);
    assert.equal(choice?.message.content, ANSWER);
    assert.equal(choice?.finish_reason, 'stop');
    assert.ok(choice !== undefined);
    const { reasoning, reasoning_content } = choice.message as Reasoning;
    assert.ok(reasoning !== undefined && reasoning !== null && reasoning.length > 0);
    assert.equal(reasoning_content, reasoning);
    const { usage } = answer;
    assert.ok(usage !== undefined && usage.prompt_tokens > 0 && usage.completion_tokens > 10);
    assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
    assert.ok((usage.completion_tokens_details?.reasoning_tokens ?? 0) > 0);
  });

  it('streams the same answer, usage last', async () => {
    const stream = await client.chat.completions.create({
      ...greedy,
      messages: [user(QUESTION)],
      stream: true,
      stream_options: { include_usage: true },
    });
    let content = '';
    let reasoning = '';
    const finishes: (string | null)[] = [];
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      content += chunk.choices[0]?.delta.content ?? '';
      reasoning += (chunk.choices[0]?.delta as Reasoning | undefined)?.reasoning ?? '';
      if (chunk.choices[0]?.finish_reason != null) finishes.push(chunk.choices[0].finish_reason);
      if (chunk.usage != null) {
        assert.equal(chunk.choices.length, 0);
        usage = chunk.usage;
      }
    }
    assert.equal(content, ANSWER);
    assert.ok(reasoning.length > 0);
    assert.deepEqual(finishes, ['stop']);
    assert.ok((usage?.completion_tokens ?? 0) > 10);
  });

  it("drives the package's own stream helper", async () => {
    const stream = client.chat.completions.stream({ ...greedy, messages: [user(QUESTION)] });
    assert.equal(await stream.finalContent(), ANSWER);
  });

  it('calls a tool and answers from its result, the reasoning going back with it', async () => {
    const messages: OpenAI.ChatCompletionMessageParam[] = [user('What is the weather in Paris?')];
    const first = await client.chat.completions.create({ ...greedy, messages, tools: [WEATHER] });
    const message = first.choices[0]?.message;
    assert.ok(message !== undefined);
    assert.equal(first.choices[0]?.finish_reason, 'tool_calls');
    assert.equal(message.content, null);
    const call = message.tool_calls?.[0];
    assert.ok(call?.type === 'function');
    assert.equal(call.function.name, 'get_weather');
    assert.deepEqual(Object.values(JSON.parse(call.function.arguments) as object), ['Paris']);
    messages.push(message, {
      role: 'tool',
      tool_call_id: call.id,
      content: '{"temperature": 21, "condition": "sunny"}',
    });
    const second = await client.chat.completions.create({ ...greedy, messages, tools: [WEATHER] });
    assert.equal(second.choices[0]?.finish_reason, 'stop');
    assert.match(second.choices[0]?.message.content ?? '', /21/);
  });

  it('streams a tool call in pieces that make the whole', async () => {
    const stream = client.chat.completions.stream({
      ...greedy,
      messages: [user('What is the weather in Paris?')],
      tools: [WEATHER],
    });
    const answer = await stream.finalChatCompletion();
    const call = answer.choices[0]?.message.tool_calls?.[0];
    assert.ok(call?.type === 'function');
    assert.equal(call.function.name, 'get_weather');
    assert.deepEqual(Object.values(JSON.parse(call.function.arguments) as object), ['Paris']);
    assert.equal(answer.choices[0]?.finish_reason, 'tool_calls');
  });

  it('obeys tool_choice: required, named and none', async () => {
    const lookup: OpenAI.ChatCompletionTool = {
      type: 'function',
      function: {
        name: 'look_up',
        parameters: {
          type: 'object',
          properties: { word: { type: 'string', maxLength: 12 } },
          required: ['word'],
          additionalProperties: false,
        },
      },
    };
    const tools = [WEATHER, lookup];
    const ask = async (choice: OpenAI.ChatCompletionToolChoiceOption): Promise<OpenAI.ChatCompletion.Choice> => {
      const answer = await client.chat.completions.create({
        ...greedy,
        messages: [user(QUESTION)],
        tools,
        tool_choice: choice,
      });
      const [first] = answer.choices;
      assert.ok(first !== undefined);
      return first;
    };
    const required = await ask('required');
    assert.equal(required.finish_reason, 'tool_calls');
    const named = await ask({ type: 'function', function: { name: 'look_up' } });
    const call = named.message.tool_calls?.[0];
    assert.ok(call?.type === 'function');
    assert.equal(call.function.name, 'look_up');
    assert.deepEqual(Object.keys(JSON.parse(call.function.arguments)), ['word']);
    const none = await ask('none');
    assert.equal(none.message.tool_calls, undefined);
    assert.equal(none.finish_reason, 'stop');
    assert.ok((none.message.content ?? '').length > 0);
  });

  it('holds the answer to a JSON schema, streamed or not, and to any JSON object', async () => {
    const response_format = {
      type: 'json_schema',
      json_schema: {
        name: 'entry',
        strict: true,
        schema: {
          type: 'object',
          properties: {
            known: { type: 'boolean' },
            kind: { enum: ['noun', 'verb'] },
            letters: { type: 'integer', minimum: 0, maximum: 99 },
          },
          required: ['known', 'kind', 'letters'],
          additionalProperties: false,
        },
      },
    } as const;
    const request = { ...greedy, messages: [user(QUESTION)], response_format };
    const whole = await client.chat.completions.create(request);
    assert.equal(whole.choices[0]?.finish_reason, 'stop');
    const entry = JSON.parse(whole.choices[0].message.content ?? '') as Record<string, unknown>;
    assert.deepEqual(Object.keys(entry).sort(), ['kind', 'known', 'letters']);
    assert.equal(typeof entry['known'], 'boolean');
    assert.ok(entry['kind'] === 'noun' || entry['kind'] === 'verb');
    assert.ok(Number.isInteger(entry['letters']) && Number(entry['letters']) >= 0 && Number(entry['letters']) <= 99);
    assert.equal(await client.chat.completions.stream(request).finalContent(), whole.choices[0]?.message.content);
    for (const question of ['What is 17 + 25?', 'What is the weather in Paris?']) {
      const object = await client.chat.completions.create({
        ...greedy,
        messages: [user(question)],
        response_format: { type: 'json_object' },
      });
      assert.equal(object.choices[0]?.finish_reason, 'stop');
      const value: unknown = JSON.parse(object.choices[0].message.content ?? '');
      assert.ok(typeof value === 'object' && value !== null && !Array.isArray(value));
    }
  });

  it('gives n choices, each with a seed of its own, and the same again for the same seed', async () => {
    const request = {
      model: MODEL,
      messages: [user('What is a river?')],
      n: 3,
      seed: 11,
      temperature: 2,
      max_tokens: 40,
    };
    const texts = async (): Promise<(string | null)[]> => {
      const answer = await client.chat.completions.create(request);
      assert.deepEqual(
        answer.choices.map(({ index }) => index),
        [0, 1, 2],
      );
      return answer.choices.map(({ message }) => message.content);
    };
    const first = await texts();
    assert.deepEqual(await texts(), first);
    assert.notEqual(new Set(first).size, 1);
  });

  it('gives the same tokens and log-probabilities for the same seed alone and in a batch', async () => {
    const ask = async (content: string, seed: number): Promise<string> => {
      const answer = await client.chat.completions.create({
        model: MODEL,
        messages: [user(content)],
        seed,
        temperature: 0.9,
        max_tokens: 60,
        logprobs: true,
        top_logprobs: 5,
      });
      return JSON.stringify(answer.choices[0]);
    };
    const questions = ['What is a river?', QUESTION, 'What is 17 + 25?', 'What is a flimsnort?', 'What is a book?'];
    const alone: string[] = [];
    for (const [seed, question] of questions.entries()) alone.push(await ask(question, seed));
    assert.deepEqual(await Promise.all(questions.map((question, seed) => ask(question, seed))), alone);
  });

  it('tells log-probabilities of the content and of the likeliest rivals', async () => {
    const answer = await client.chat.completions.create({
      ...greedy,
      messages: [user(QUESTION)],
      logprobs: true,
      top_logprobs: 3,
    });
    const tokens = answer.choices[0]?.logprobs?.content ?? [];
    assert.equal(tokens.map(({ token }) => token).join(''), ANSWER);
    for (const { token, logprob, bytes, top_logprobs } of tokens) {
      assert.ok(logprob <= 0);
      assert.equal(Buffer.from(bytes ?? []).toString('utf8'), token);
      assert.equal(top_logprobs.length, 3);
      // Greedy: the chosen token is the likeliest.
      assert.equal(top_logprobs[0]?.token, token);
      assert.ok((top_logprobs[1]?.logprob ?? 0) <= logprob);
    }
  });

  it('streams several choices with log-probabilities, each as it comes whole', async () => {
    const request = {
      model: MODEL,
      messages: [user('What is a river?')],
      n: 3,
      seed: 5,
      temperature: 1,
      max_tokens: 40,
      logprobs: true,
      top_logprobs: 2,
    };
    const whole = await client.chat.completions.create(request);
    const stream = client.chat.completions.stream(request);
    let chunks = 0;
    for await (const _chunk of stream) chunks += 1;
    const streamed = await stream.finalChatCompletion();
    assert.ok(chunks > 3 * 10);
    assert.equal(streamed.choices.length, 3);
    for (const [index, { message, logprobs, finish_reason }] of whole.choices.entries()) {
      const other = streamed.choices[index];
      assert.equal(other?.message.content ?? '', message.content ?? '');
      assert.equal(other?.finish_reason, finish_reason);
      assert.deepEqual(other?.logprobs?.content ?? [], logprobs?.content ?? []);
    }
  });

  it('ends before a stop string and after max_tokens', async () => {
    const stopped = await client.chat.completions.create({ ...greedy, messages: [user(QUESTION)], stop: [' that'] });
    assert.equal(stopped.choices[0]?.message.content, 'Lighthouse: a tower with a light');
    assert.equal(stopped.choices[0]?.finish_reason, 'stop');
    const short = await client.chat.completions.create({ ...greedy, messages: [user(QUESTION)], max_tokens: 3 });
    assert.equal(short.choices[0]?.finish_reason, 'length');
    assert.equal(short.usage?.completion_tokens, 3);
    const either = { ...greedy, messages: [user(QUESTION)], stop: ['never', ' with'], max_completion_tokens: 50 };
    assert.equal((await client.chat.completions.create(either)).choices[0]?.message.content, 'Lighthouse: a tower');
    assert.equal(await client.chat.completions.stream(either).finalContent(), 'Lighthouse: a tower');
    const newer = { ...greedy, messages: [user(QUESTION)], max_completion_tokens: 4 };
    assert.equal((await client.chat.completions.create(newer)).usage?.completion_tokens, 4);
  });

  it('computes a conversation further from its last turn: cached tokens', async () => {
    const messages: OpenAI.ChatCompletionMessageParam[] = [user('What is a harbour?')];
    const first = await client.chat.completions.create({ ...greedy, messages });
    messages.push(first.choices[0]?.message ?? user(''), user('What is a ship?'));
    const second = await client.chat.completions.create({ ...greedy, messages });
    assert.ok((second.usage?.prompt_tokens_details?.cached_tokens ?? 0) >= 16);
  });

  it('stops computing when the client aborts', async () => {
    const controller = new AbortController();
    const stream = await client.chat.completions.create(
      // vLLM's extension: the client's types do not know it.
      Object.assign(
        { ...greedy, messages: [user('Tell me about ships.')], stream: true as const },
        { ignore_eos: true },
      ),
      { signal: controller.signal },
    );
    let chunks = 0;
    for await (const _chunk of stream) if ((chunks += 1) === 4) controller.abort();
    assert.ok(chunks < 40);
    await untilMetric(server, 'vllm:num_requests_running', 0);
  });

  it('stops computing when the client aborts while it waits for the whole answer', async () => {
    const whole = client.chat.completions.create(
      Object.assign({ ...greedy, messages: [user('Tell me about ships.')] }, { ignore_eos: true }),
      { signal: AbortSignal.timeout(300) },
    );
    await assert.rejects(whole, { name: 'Error', message: 'Request was aborted.' });
    await untilMetric(server, 'vllm:num_requests_running', 0);
  });

  it('continues plain text, scores it, and turns it into tokens and back', async () => {
    const completion = await client.completions.create({
      model: MODEL,
      prompt: ['The sea', 'A book'],
      max_tokens: 5,
      temperature: 0,
      logprobs: 2,
    });
    assert.equal(completion.choices.length, 2);
    for (const { text, logprobs, finish_reason } of completion.choices) {
      assert.equal(finish_reason, 'length');
      const { tokens = [], token_logprobs = [], top_logprobs = [], text_offset = [] } = logprobs ?? {};
      assert.equal(tokens.length, 5);
      assert.equal(tokens.join(''), text);
      for (const [index, token] of tokens.entries()) {
        assert.equal(text.slice(text_offset[index]).startsWith(token), true);
        // Greedy: the chosen token is the likeliest of the two.
        const rivals = Object.entries(top_logprobs[index] ?? {});
        assert.equal(rivals.length, 2);
        assert.deepEqual(rivals[0], [token, token_logprobs[index]]);
      }
    }
    const request = { model: MODEL, prompt: ['The sea', 'A book'], n: 2, seed: 3, max_tokens: 12, logprobs: 1 };
    const whole = await client.completions.create(request);
    const texts = ['', '', '', ''];
    const offsets: number[][] = [[], [], [], []];
    for await (const chunk of await client.completions.create({ ...request, stream: true })) {
      for (const { index, text, logprobs } of chunk.choices) {
        texts[index] += text;
        offsets[index]?.push(...(logprobs?.text_offset ?? []));
      }
    }
    assert.deepEqual(
      texts,
      whole.choices.map(({ text }) => text),
    );
    assert.deepEqual(
      offsets,
      whole.choices.map(({ logprobs }) => logprobs?.text_offset),
    );
    assert.notEqual(texts[0], texts[1]);
    const json = async (path: string, body: object): Promise<Record<string, unknown>> => {
      const response = await fetch(`${server.url}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      assert.equal(response.status, 200);
      return (await response.json()) as Record<string, unknown>;
    };
    const prompt = 'Käse 🧀 and <|start|> as text';
    const { tokens, count } = await json('/tokenize', { prompt });
    assert.ok(Array.isArray(tokens) && tokens.length === count);
    assert.deepEqual(await json('/detokenize', { tokens }), { prompt });
    const score = await json('/v1/score', { input: ['A tower with a light.', 'light a with tower A.'] });
    const [natural, shuffled] = score['data'] as { nll: number }[];
    assert.ok(natural !== undefined && shuffled !== undefined && natural.nll < shuffled.nll);
  });

  it('lists its model', async () => {
    const models = await client.models.list();
    assert.deepEqual(
      models.data.map(({ id }) => id),
      [MODEL],
    );
    assert.equal((await client.models.retrieve(MODEL)).id, MODEL);
    await assert.rejects(client.models.retrieve('gpt-5'), { status: 404 });
  });
});
