import assert from 'node:assert/strict';
import type { RunningServer } from '../../src/server/start-server.ts';
import { post, scripted, startScriptedServer } from './test-server.ts';

interface Chunk {
  readonly id: string;
  readonly object: string;
  readonly created: number;
  readonly model: string;
  readonly choices: readonly { readonly index: number; readonly [field: string]: unknown }[];
  readonly usage?: object | null;
}

type Item = Readonly<Record<string, unknown>> & { readonly id: string };

interface ResponseEvent {
  readonly type: string;
  readonly item_id?: string;
  readonly item?: Item;
  readonly output_index?: number;
  readonly response?: { readonly id: string; readonly status: string; readonly output: readonly Item[] };
}

const ANSWER = '<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>so';
const USAGE = {
  completion_tokens: 13,
  completion_tokens_details: { reasoning_tokens: 2 },
};

/** The data of every event, the last one as text. */
async function eventsOf(
  response: Response,
): Promise<{ events: (Chunk & ResponseEvent)[]; names: string[]; last: string }> {
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8');
  assert.equal(response.headers.get('cache-control'), 'no-cache');
  const blocks = (await response.text()).split('\n\n').filter((block) => block !== '' && !block.startsWith(':'));
  const data = blocks.map(
    (block) =>
      block
        .split('\n')
        .find((line) => line.startsWith('data: '))
        ?.slice(6) ?? '',
  );
  const names = blocks.flatMap((block) => /^event: (.*)$/m.exec(block)?.[1] ?? []);
  const last = data.at(-1) ?? '';
  const json = last === '[DONE]' ? data.slice(0, -1) : data;
  return { events: json.map((text) => JSON.parse(text) as Chunk & ResponseEvent), names, last };
}

describe('what goes over the wire', () => {
  let server: RunningServer;
  before(async () => {
    server = await startScriptedServer();
    await server.ready;
  });
  after(() => server.close());

  const chat = (more: object): Promise<Response> =>
    post(server, '/v1/chat/completions', {
      messages: [{ role: 'user', content: scripted(ANSWER) }],
      temperature: 0,
      ...more,
    });

  it("is chunks of chat completions as OpenAI's, each choice with a beginning and an end, usage last if asked for", async () => {
    const { events, last } = await eventsOf(
      await chat({ stream: true, n: 2, stream_options: { include_usage: true } }),
    );
    assert.equal(last, '[DONE]');
    const { id = '', created = 0 } = events[0] ?? {};
    assert.match(id, /^chatcmpl-[\da-f]{32}$/);
    assert.ok(Math.abs(created - Date.now() / 1000) < 60);
    for (const event of events) {
      assert.deepEqual(
        [event.id, event.object, event.created, event.model],
        [id, 'chat.completion.chunk', created, 'scripted'],
      );
    }
    const end = events.at(-1);
    assert.deepEqual(end?.choices, []);
    const { prompt_tokens: prompt = 0 } = (end?.usage ?? {}) as { prompt_tokens?: number };
    // The prompt counts once for both choices.
    assert.deepEqual(end?.usage, {
      prompt_tokens: prompt,
      completion_tokens: 26,
      total_tokens: prompt + 26,
      prompt_tokens_details: { cached_tokens: 0 },
      completion_tokens_details: { reasoning_tokens: 4 },
    });
    assert.ok(events.slice(0, -1).every(({ usage, choices }) => usage === null && choices.length === 1));
    for (const index of [0, 1]) {
      const own = events.flatMap(({ choices }) => choices.filter((choice) => choice.index === index));
      // Texts may come in pieces: how many is the tokenizer's and the socket's business.
      const texts = { reasoning: '', reasoning_content: '', content: '' };
      for (const { delta } of own.slice(1, -1)) {
        const [name, ...others] = Object.keys(delta as object);
        assert.deepEqual(others, name === 'reasoning' ? ['reasoning_content'] : []);
        for (const [field, text] of Object.entries(delta as object)) texts[field as keyof typeof texts] += text;
      }
      assert.deepEqual(texts, { reasoning: 'hm', reasoning_content: 'hm', content: 'so' });
      const rest = { index, logprobs: null };
      assert.deepEqual(own[0], { ...rest, delta: { role: 'assistant', content: '' }, finish_reason: null });
      assert.deepEqual(own.at(-1), { ...rest, delta: {}, finish_reason: 'stop' });
      for (const { delta: _, ...others } of own.slice(0, -1))
        assert.deepEqual(others, { ...rest, finish_reason: null });
    }
  });

  it('has no usage in chunks where it was not asked for', async () => {
    for (const more of [{}, { stream_options: null }, { stream_options: { include_usage: false } }]) {
      const { events } = await eventsOf(await chat({ stream: true, ...more }));
      assert.ok(events.every((event) => !('usage' in event) && event.choices.length === 1));
    }
  });

  it('is a whole chat completion with the same parts', async () => {
    const answer = (await (await chat({})).json()) as Chunk & { usage: { prompt_tokens: number } };
    assert.match(answer.id, /^chatcmpl-/);
    assert.equal(answer.object, 'chat.completion');
    assert.deepEqual(answer.choices, [
      {
        index: 0,
        message: { role: 'assistant', content: 'so', reasoning: 'hm', reasoning_content: 'hm', refusal: null },
        logprobs: null,
        finish_reason: 'stop',
      },
    ]);
    const { prompt_tokens: prompt } = answer.usage;
    assert.deepEqual(answer.usage, {
      ...USAGE,
      prompt_tokens: prompt,
      total_tokens: prompt + 13,
      prompt_tokens_details: { cached_tokens: 0 },
    });
  });

  it('is chunks of text completions, and a whole one, in the old shape', async () => {
    const ask = (more: object): Promise<Response> =>
      post(server, '/v1/completions', { prompt: scripted('so it is'), temperature: 0, logprobs: 1, ...more });
    const whole = (await (await ask({})).json()) as Chunk;
    assert.match(whole.id, /^cmpl-[\da-f]{32}$/);
    assert.equal(whole.object, 'text_completion');
    const [choice] = whole.choices as unknown as [
      { text: string; logprobs: { tokens: string[]; text_offset: number[] }; finish_reason: string },
    ];
    assert.deepEqual([choice.text, choice.finish_reason], ['so it is', 'stop']);
    assert.equal(choice.logprobs.tokens.join(''), 'so it is');
    const { events, last } = await eventsOf(await ask({ stream: true, stream_options: { include_usage: true } }));
    assert.equal(last, '[DONE]');
    assert.deepEqual(events.at(-1)?.choices, []);
    const pieces = events.slice(0, -1).map(({ choices }) => choices[0] as unknown as typeof choice);
    assert.equal(pieces.map(({ text }) => text).join(''), 'so it is');
    assert.deepEqual(
      pieces.map(({ finish_reason: reason }) => reason),
      [...pieces.slice(1).map(() => null), 'stop'],
    );
    // The offsets go on from piece to piece.
    assert.deepEqual(
      pieces.flatMap(({ logprobs }) => (logprobs as typeof choice.logprobs | null)?.text_offset ?? []),
      choice.logprobs.text_offset,
    );
  });

  it("is the events of a response in OpenAI's order, with ids that stay", async () => {
    const { events, names } = await eventsOf(
      await post(server, '/v1/responses', { input: scripted(ANSWER), temperature: 0, stream: true }),
    );
    assert.deepEqual(
      names,
      events.map(({ type }) => type),
    );
    const once = names.filter((name, index) => !name.endsWith('.delta') || name !== names[index - 1]);
    assert.deepEqual(once, [
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.reasoning_text.delta',
      'response.reasoning_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ]);
    const { response } = events.at(-1) ?? {};
    assert.match(response?.id ?? '', /^resp_[\da-f]{32}$/);
    for (const event of events) if (event.response !== undefined) assert.equal(event.response.id, response?.id);
    const [reasoning, message] = response?.output ?? [];
    assert.match(reasoning?.id ?? '', /^rs_[\da-f]{32}$/);
    assert.match(message?.id ?? '', /^msg_[\da-f]{32}$/);
    for (const { item_id: id, item, output_index: index } of events) {
      if (index === undefined) continue;
      assert.equal(id ?? item?.id, response?.output[index]?.id);
    }
    assert.deepEqual(reasoning, {
      type: 'reasoning',
      id: reasoning?.id,
      summary: [],
      content: [{ type: 'reasoning_text', text: 'hm' }],
      status: 'completed',
    });
    assert.deepEqual(message, {
      type: 'message',
      id: message?.id,
      role: 'assistant',
      status: 'completed',
      phase: 'final_answer',
      content: [{ type: 'output_text', text: 'so', annotations: [], logprobs: [] }],
    });
  });
});
