import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import type { RunningServer } from '../../src/server/start-server.ts';
import { echoed, post, scripted, startScriptedServer } from './test-server.ts';

const MODEL = 'scripted';
const ANSWER = scripted(
  '<|channel|>analysis<|message|>a thought<|end|><|start|>assistant<|channel|>commentary<|message|>One moment.<|end|>' +
    '<|start|>assistant<|channel|>commentary to=functions.look_up <|constrain|>json<|message|>{"place":"Oslo"}<|call|>',
);
const LOOKUP: Anthropic.Tool = {
  name: 'look_up',
  description: 'Looks it up',
  input_schema: { type: 'object', properties: { place: { type: 'string' } } },
};
const FINAL = scripted(
  '<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>one STOP two',
);

describe("Anthropic's messages, through its own package", () => {
  let server: RunningServer;
  let client: Anthropic;
  before(async () => {
    server = await startScriptedServer({ apiKey: 'secret' });
    await server.ready;
    client = new Anthropic({ baseURL: server.url, apiKey: 'secret', maxRetries: 0 });
  });
  after(() => server.close());

  const request = (content: string, more: Partial<Anthropic.MessageCreateParamsNonStreaming> = {}) => ({
    model: MODEL,
    max_tokens: 20_000,
    messages: [{ role: 'user' as const, content }],
    ...more,
  });
  const THINKING = { thinking: { type: 'enabled' as const, budget_tokens: 1024 } };

  it('are blocks in the order written, streamed and not', async () => {
    const whole = await client.messages.create(request(ANSWER, { tools: [LOOKUP], ...THINKING }));
    assert.deepEqual(
      [whole.type, whole.role, whole.model, whole.stop_reason],
      ['message', 'assistant', MODEL, 'tool_use'],
    );
    const described = whole.content.map((block) =>
      block.type === 'thinking'
        ? block.thinking
        : block.type === 'text'
          ? block.text
          : block.type === 'tool_use'
            ? block.input
            : null,
    );
    assert.deepEqual(described, ['a thought', 'One moment.', { place: 'Oslo' }]);
    const stream = client.messages.stream(request(ANSWER, { tools: [LOOKUP], ...THINKING }));
    const types: string[] = [];
    for await (const event of stream) types.push(event.type);
    const once = types.filter((type, index) => type !== types[index - 1]);
    const block = ['content_block_start', 'content_block_delta', 'content_block_stop'];
    assert.deepEqual(once, ['message_start', ...block, ...block, ...block, 'message_delta', 'message_stop']);
    const final = await stream.finalMessage();
    const comparable = ({ content }: Anthropic.Message) =>
      content.map((one) => ({
        ...one,
        id: '',
        ...(one.type === 'thinking' ? { signature: one.signature.length > 0 } : {}),
      }));
    assert.deepEqual(comparable(final), comparable(whole));
    assert.deepEqual(final.usage.output_tokens, whole.usage.output_tokens);
    assert.equal(final.usage.input_tokens, whole.usage.input_tokens);
  });

  it('show what the model thinks only where it is asked for', async () => {
    for (const thinking of [undefined, { type: 'disabled' as const }]) {
      const { content } = await client.messages.create(request(FINAL, thinking === undefined ? {} : { thinking }));
      assert.deepEqual(
        content.map(({ type }) => type),
        ['text'],
      );
    }
  });

  it('end for the reason that they have', async () => {
    const reasons = async (more: Partial<Anthropic.MessageCreateParamsNonStreaming>) => {
      const { stop_reason, stop_sequence } = await client.messages.create(request(FINAL, more));
      return [stop_reason, stop_sequence];
    };
    assert.deepEqual(await reasons({}), ['end_turn', null]);
    assert.deepEqual(await reasons({ stop_sequences: ['STOP'] }), ['stop_sequence', 'STOP']);
    assert.deepEqual(await reasons({ max_tokens: 2 }), ['max_tokens', null]);
  });

  it('obey tool_choice, and leave hosted tools out', async () => {
    const call = async (tool_choice: Anthropic.ToolChoice) => {
      const { content } = await client.messages.create(
        request(scripted('no call at all'), { tools: [LOOKUP, { ...LOOKUP, name: 'other' }], tool_choice }),
      );
      return content.flatMap((block) => (block.type === 'tool_use' ? [block.name] : []));
    };
    assert.deepEqual(await call({ type: 'tool', name: 'other' }), ['other']);
    assert.equal((await call({ type: 'any' })).length, 1);
    assert.deepEqual(await call({ type: 'none' }), []);
    const { content } = await client.messages.create(
      request('ECHO PROMPT', { tools: [{ type: 'web_search_20250305', name: 'web_search' }, LOOKUP] }),
    );
    const prompt = echoed(content[0]?.type === 'text' ? content[0].text : null);
    assert.match(prompt, /type look_up = /);
    assert.doesNotMatch(prompt, /web_search/);
  });

  it('have system texts, errors of tools and earlier thoughts in the prompt', async () => {
    const first = await client.messages.create(request(ANSWER, { tools: [LOOKUP], ...THINKING }));
    const id = first.content.flatMap((block) => (block.type === 'tool_use' ? [block.id] : []))[0] ?? '';
    const { content } = await client.messages.create({
      ...request(''),
      system: [{ type: 'text', text: 'Be brief.' }],
      tools: [LOOKUP],
      messages: [
        { role: 'user', content: 'ECHO PROMPT' },
        { role: 'assistant', content: first.content },
        {
          role: 'user',
          content: [
            {
              type: 'tool_result',
              tool_use_id: id,
              is_error: true,
              content: [{ type: 'text', text: 'no such place' }],
            },
          ],
        },
      ],
    });
    const prompt = echoed(content[0]?.type === 'text' ? content[0].text : null);
    assert.match(
      prompt,
      /# Instructions\n\nBe brief\..*ECHO PROMPT.*analysis<\|message\|>a thought.*One moment\..*\{"place":"Oslo"\}.*Error: no such place/s,
    );
  });

  it('may have system messages among the others', async () => {
    const messages = [
      { role: 'user', content: 'ECHO PROMPT' },
      { role: 'system', content: 'From now on, be brief.' },
    ];
    const headers = { 'content-type': 'application/json', 'x-api-key': 'secret' };
    const response = await post(server, '/v1/messages', { messages, max_tokens: 10_000 }, { headers });
    const { content } = (await response.json()) as { content: { text: string }[] };
    const prompt = echoed(content[0]?.text);
    assert.match(
      prompt,
      /ECHO PROMPT<\|end\|><\|start\|>developer<\|message\|># Instructions\n\nFrom now on, be brief\./,
    );
  });

  it('are counted without being answered', async () => {
    const { input_tokens: counted } = await client.messages.countTokens({
      model: MODEL,
      messages: request(FINAL).messages,
    });
    assert.equal(counted, (await client.messages.create(request(FINAL))).usage.input_tokens);
  });

  it('that are wrong get errors in the shape that the package knows', async () => {
    const other = new Anthropic({ baseURL: server.url, apiKey: 'other', maxRetries: 0 });
    await assert.rejects(other.messages.create(request('x')), Anthropic.AuthenticationError);
    await assert.rejects(client.messages.create({ ...request('x'), model: 'claude' }), Anthropic.NotFoundError);
    const headers = { 'content-type': 'application/json', 'x-api-key': 'secret' };
    const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: '' } };
    const cases: readonly (readonly [body: object, field: RegExp])[] = [
      [{ messages: [{ role: 'user', content: 'x' }] }, /max_tokens/],
      [{ max_tokens: 5, messages: [] }, /messages/],
      [{ max_tokens: 5, messages: [{ role: 'user', content: [image] }] }, /messages\[0\]\.content\[0\]\.type/],
      [
        {
          max_tokens: 5,
          messages: [
            { role: 'user', content: 'x' },
            { role: 'assistant', content: 'I am' },
          ],
        },
        /messages\[1\].*gone on with/,
      ],
      [{ max_tokens: 5, messages: [{ role: 'user', content: [{ type: 'tool_result', tool_use_id: 'a' }] }] }, /"a"/],
      [
        {
          max_tokens: 5,
          messages: [{ role: 'user', content: 'x' }],
          tools: [LOOKUP],
          tool_choice: { type: 'tool', name: 'y' },
        },
        /tool_choice/,
      ],
    ];
    for (const [body, message] of cases) {
      const response = await post(server, '/v1/messages', body, { headers });
      const { type, error } = (await response.json()) as { type: string; error: { type: string; message: string } };
      assert.deepEqual([response.status, type, error.type], [400, 'error', 'invalid_request_error'], error.message);
      assert.match(error.message, message);
    }
    const failing = client.messages.stream(request('FAIL'));
    await assert.rejects(failing.finalMessage(), /the script says so/);
  });
});
